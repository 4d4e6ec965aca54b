"""What is in the sources: scanned, judged by the rules, compared with the parent, packed."""
