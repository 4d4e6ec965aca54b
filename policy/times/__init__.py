"""Periods, recurrences, calendars and clocks."""
