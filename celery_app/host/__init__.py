"""The commands of this host's own file: what they are, whether they are there, how they start."""
