"""What an operator or beat requests."""
