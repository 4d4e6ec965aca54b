"""LTFS on Linux."""
