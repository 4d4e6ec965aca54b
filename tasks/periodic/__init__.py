"""What beat starts every minute or so."""
