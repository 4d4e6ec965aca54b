"""The channels, and what each of them refuses or limits."""
