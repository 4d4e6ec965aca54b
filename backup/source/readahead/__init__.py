"""Processes that list folders and read small files ahead of the writer."""
