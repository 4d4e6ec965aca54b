"""The fields of a schedule and of its file, validated."""
