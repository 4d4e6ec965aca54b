"""The steps of a run, one file a step, thin: claim, call, record."""
