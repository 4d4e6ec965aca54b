"""External programs: an argument list, a time limit, their output kept; left behind if they hang."""
