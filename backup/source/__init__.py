"""The contents of the sources: scanned, filtered by the rules, compared with the parent, packed."""
