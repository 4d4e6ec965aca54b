"""LTFS on Windows."""
