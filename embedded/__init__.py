"""A real PostgreSQL and a real Redis for one machine where nothing is installed."""
