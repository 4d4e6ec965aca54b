"""The kinds of snapshots that this host can make of its file systems."""
