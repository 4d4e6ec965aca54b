"""The steps of a run, one file for each step, thin: claim, call, record."""
