"""The period of a run: one success in it is enough for an automatic run."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from policy.times.local_time import zone_named


class ScheduleType(StrEnum):
    """How a schedule repeats, which defines its period."""

    ONCE = "once"
    """One occurrence, which is its own period."""
    INTERVAL = "interval"
    """Every so many seconds; each occurrence is its own period."""
    DAILY = "daily"
    """The local calendar day."""
    WEEKLY = "weekly"
    """The ISO week of the ISO year."""
    MONTHLY = "monthly"
    """The local calendar month."""
    YEARLY = "yearly"
    """The local calendar year."""
    CRON = "cron"
    """A cron expression; each occurrence is its own period."""
    MANUAL = "manual"
    """Started only by hand; each run is its own period."""


OWN_PERIOD = frozenset({ScheduleType.ONCE, ScheduleType.INTERVAL, ScheduleType.CRON, ScheduleType.MANUAL})
"""Types whose occurrences are their own periods."""


def key(schedule_type: ScheduleType, moment: datetime, time_zone: str) -> str:
    """Name the period of a moment, e.g. ``2026-11`` or ``2026-W48``.

    ``moment`` is aware; it is read in the schedule's time zone. Types whose occurrences are their own
    periods are named by the moment itself, in UTC. Raises UsageError for an unknown time zone.
    """
    local = moment.astimezone(zone_named(time_zone))
    match schedule_type:
        case ScheduleType.DAILY:
            return f"{local:%Y-%m-%d}"
        case ScheduleType.WEEKLY:
            year, week, _ = local.isocalendar()
            return f"{year:04d}-W{week:02d}"
        case ScheduleType.MONTHLY:
            return f"{local:%Y-%m}"
        case ScheduleType.YEARLY:
            return f"{local:%Y}"
        case ScheduleType.ONCE | ScheduleType.INTERVAL | ScheduleType.CRON | ScheduleType.MANUAL:
            return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def is_done(
    schedule_type: ScheduleType, due_at: datetime, last_success: datetime | None, time_zone: str
) -> bool:
    """Whether the period of ``due_at`` has its success already.

    If an occurrence is its own period, a success at or after it counts for this occurrence.
    """
    if last_success is None:
        return False
    if schedule_type in OWN_PERIOD:
        return last_success >= due_at
    return key(schedule_type, last_success, time_zone) == key(schedule_type, due_at, time_zone)
