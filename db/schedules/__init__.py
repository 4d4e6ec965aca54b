"""Schedules and their templates: what is declared, what is due, what is to come."""
