"""The rules: pure functions from facts to decisions, without I/O and without a clock of their own."""
