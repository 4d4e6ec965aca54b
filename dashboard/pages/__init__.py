"""The pages, one file each, and what their buttons do."""
