"""The operator's front door."""
