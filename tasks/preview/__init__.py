"""What a run would find, before there is one. Nothing changes."""
