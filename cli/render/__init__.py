"""How results are shown: tables, stories, progress, exit codes."""
