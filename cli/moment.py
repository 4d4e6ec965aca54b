"""A point in time as an operator writes it."""

from __future__ import annotations

from datetime import datetime, time

from celery_app import settings
from policy.times import written


def parse(option: str, text: str) -> datetime:
    """A time on the clock of the setting ``time_zone`` unless it names another; a date without a time is the
    end of that day.

    Raises UsageError that names the option.
    """
    return _parsed(option, text, time.max)


def parse_start(option: str, text: str) -> datetime:
    """As ``parse``, but a date without a time is the beginning of that day."""
    return _parsed(option, text, time.min)


def _parsed(option: str, text: str, of_day: time) -> datetime:
    return written.moment(option, text, settings.load().zone, of_day)
