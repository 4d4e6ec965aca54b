"""What steps need at the drive: the rules for its tape, mounting, condition, what is missing on it."""
