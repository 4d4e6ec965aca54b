"""The report in the operator's language: as lines, as HTML for a mail, and as CSV."""
