"""A point in time as an operator writes it."""

from __future__ import annotations

from datetime import datetime, time

from celery_app import settings
from policy.errors import UsageError
from policy.message import M


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
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            M("{option}: '{text}' is not a time.", option=option, text=text),
            M("Write it as 2026-11-20, '2026-11-20 18:00' or 2026-11-20T18:00:00+08:00."),
        ) from error
    if len(text) <= len("2026-11-20"):
        moment = datetime.combine(moment, of_day)
    return moment if moment.tzinfo else moment.replace(tzinfo=settings.load().zone)
