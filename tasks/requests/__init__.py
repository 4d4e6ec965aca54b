"""What an operator or beat asks for."""
