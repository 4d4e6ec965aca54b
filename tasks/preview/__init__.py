"""What a run would find, before it exists. Nothing changes."""
