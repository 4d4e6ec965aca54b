"""What writes docs/: no part of the product."""
