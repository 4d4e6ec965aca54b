"""A point in time as people write it."""

from __future__ import annotations

from datetime import datetime, time
from zoneinfo import ZoneInfo

from policy.errors import UsageError
from policy.message import M


def moment(option: str, text: str, zone: ZoneInfo, of_day: time = time.max) -> datetime:
    """A time on a clock unless it names another; ``of_day``: the time of a date without one.

    Raises UsageError that names the option.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            M("{option}: '{text}' is not a time.", option=option, text=text),
            M("Write it as 2026-11-20, '2026-11-20 18:00' or 2026-11-20T18:00:00+08:00."),
        ) from error
    if len(text) <= len("2026-11-20"):
        found = datetime.combine(found, of_day)
    return found if found.tzinfo else found.replace(tzinfo=zone)
