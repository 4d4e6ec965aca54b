"""What a change of a schedule would do: it is made, looked at by the same rules, and undone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import ScheduledTask
from db.schedules import calendar, needs, planner, sync
from db.schedules.sync import ScheduleChange
from db.sets import expiry
from policy.message import Message
from policy.schedule.file import WantedSchedule
from policy.times.calendar import CalendarEntry

AHEAD = timedelta(days=92)
"""How far the calendar is compared at least."""
TIMES = 5


@dataclass(frozen=True, slots=True)
class MovedEntry:
    """A run that the calendar has only before, only afterwards, or with another tape."""

    at: datetime
    schedule: str
    before: CalendarEntry | None
    after: CalendarEntry | None


@dataclass(frozen=True, slots=True)
class SchedulePreview:
    """What would be different."""

    times: list[datetime]
    """The next times at which it writes."""
    tapes: list[CalendarEntry]
    """Its runs with the tapes that they need."""
    moved: list[MovedEntry]
    """What changes in the calendar, for all schedules, up to ``until``."""
    short: list[Message]
    """The nights that become too short for a schedule."""
    until: datetime
    """How far the calendar is compared: ``AHEAD``, or to its first run; less if there are too many runs."""
    sets: int
    """How many sets of it are on tape."""
    lost: list[str]
    """Those of them that something keeps today, and nothing afterwards."""
    problem: Message | None
    """Why it could not fire."""


def of(
    session: Session, wanted: list[WantedSchedule], change: ScheduleChange, moment: datetime
) -> SchedulePreview:
    """What one change would do. Nothing stays of it."""
    with _undone(session):
        sync.apply(session, wanted, [change], moment)
        session.flush()
        # What was written is read as it is stored.
        session.expire_all()
        row = _row(session, change.schedule)
        fires = row is not None and row.enabled and row.archived_at is None
        times = list(islice(planner.to_write(row, moment), TIMES)) if row is not None and fires else []
        problem = planner.problem_of(row) if row is not None and fires else None
        until = max([moment + AHEAD, *times[:1]])
        after, still = _calendar(session, moment, until), _sets(session, change.schedule, moment)
    before, kept = _calendar(session, moment, until), _sets(session, change.schedule, moment)
    end = min(before.end, after.end)
    return SchedulePreview(
        times=times,
        tapes=[each for each in after.entries.values() if each.planned.schedule == change.schedule],
        moved=[each for each in _moved(before.entries, after.entries) if each.at <= end],
        short=[
            text
            for text in needs.short_nights(after.entries.values())
            if text not in needs.short_nights(before.entries.values())
        ],
        until=end,
        sets=len(kept),
        lost=[each for each, is_free in kept.items() if not is_free and still.get(each, True)],
        problem=problem,
    )


@contextmanager
def _undone(session: Session) -> Iterator[None]:
    """What happens here has not happened afterwards."""
    trial = session.begin_nested()
    try:
        yield
    finally:
        trial.rollback()
        # A row that was loaded after the change is no change, and would stay as it was then.
        session.expire_all()


def _row(session: Session, name: str) -> ScheduledTask | None:
    return session.scalar(select(ScheduledTask).where(ScheduledTask.name == name))


@dataclass(frozen=True, slots=True)
class _PlayedCalendar:
    entries: dict[tuple[datetime, str], CalendarEntry]
    end: datetime
    """Up to when it has every run."""


def _calendar(session: Session, moment: datetime, until: datetime) -> _PlayedCalendar:
    entries = calendar.entries(session, moment, until)
    return _PlayedCalendar(
        {(entry.planned.at, entry.planned.schedule): entry for entry in entries},
        calendar.complete_until(session, moment, until),
    )


def _sets(session: Session, name: str, moment: datetime) -> dict[str, bool]:
    row = _row(session, name)
    return expiry.of_template(session, row.template_id, moment) if row is not None else {}


def _moved(
    before: dict[tuple[datetime, str], CalendarEntry], after: dict[tuple[datetime, str], CalendarEntry]
) -> Iterator[MovedEntry]:
    for at, schedule in sorted({*before, *after}):
        old, new = before.get((at, schedule)), after.get((at, schedule))
        if old is None or new is None or _seen(old) != _seen(new):
            yield MovedEntry(at, schedule, old, new)


def _seen(entry: CalendarEntry) -> tuple[object, ...]:
    """What an operator has to do with it."""
    return needs.needed(entry), entry.erases, entry.fits, entry.planned.drive
