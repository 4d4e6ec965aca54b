"""Backup sets: what they hold, what they depend on, when they expire."""
