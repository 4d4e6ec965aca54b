"""Tapeline side by side with tar and others, on the same data and disk: ``make bench``."""
