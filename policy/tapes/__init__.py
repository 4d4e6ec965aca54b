"""Which tape may be formatted, appended to or left alone, and why."""
