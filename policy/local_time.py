"""Moments on the clocks of the schedules' time zones."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from policy.errors import UsageError
from policy.message import M


def zone_named(name: str) -> ZoneInfo:
    """A time zone by its name. Raises UsageError where this host knows none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            M("time_zone: '{name}' is not a time zone.", name=str(name)),
            M("Use a name such as Asia/Shanghai or Europe/Berlin."),
        ) from error
