"""When the blank tapes of a library end: before the month does, or within the next days."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from db.libraries import inventory
from db.schedules import calendar
from policy.message import M, Message
from policy.times.calendar import CalendarEntry
from policy.times.local_time import zone_named

A_MONTH = timedelta(days=31)
"""No month ends later than this from now."""
AT_LEAST = timedelta(days=7)
"""At the end of a month so much of the next one counts, too."""

REMEDY = M("Put blank tapes into its slots or its mail slot, then: tapeline library inventory")


def ends(session: Session, moment: datetime) -> list[CalendarEntry]:
    """For each library the first run, as the calendar plays it, that finds no blank tape in it any more,
    before the month ends by the clock of its schedule. A library whose inventory is not believed has no
    entry: where its tapes are is the first question then."""
    believed = {row.name for row in inventory.every(session) if row.old is None}
    if not believed:
        return []
    first_runs: dict[str, CalendarEntry] = {}
    for entry in calendar.entries(session, moment, moment + A_MONTH):
        if entry.library in believed and entry.needs_a_blank and _is_near(entry, moment):
            first_runs.setdefault(str(entry.library), entry)
    return list(first_runs.values())


def _is_near(entry: CalendarEntry, moment: datetime) -> bool:
    zone = zone_named(entry.planned.time_zone)
    at, today = entry.planned.at.astimezone(zone), moment.astimezone(zone)
    return (at.year, at.month) == (today.year, today.month) or entry.planned.at - moment <= AT_LEAST


def in_words(entry: CalendarEntry) -> Message:
    """That the blank tapes of a library end, and for which run first."""
    local = entry.planned.at.astimezone(zone_named(entry.planned.time_zone))
    return M(
        "The blank tapes of library {library} run out: {schedule} finds none at {at} ({time_zone}).",
        library=entry.library,
        schedule=entry.planned.schedule,
        at=f"{local:%Y-%m-%d %H:%M}",
        time_zone=entry.planned.time_zone,
    )
