"""Backup sets: their contents, what they depend on, when they expire."""
