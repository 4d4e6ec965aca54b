"""When an operator is reminded of the tape that a run will need."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

PAUSE = timedelta(hours=20)
"""A schedule that is due more often than once a day is still announced once a day."""


@dataclass(frozen=True, slots=True)
class Reminder:
    """One of the two checks of the drive before a run."""

    name: str
    """``first`` or ``again``."""
    due_at: datetime
    """When the run is due."""
    opened_at: datetime
    """From when on the reminder may be sent."""


def due(moment: datetime, due_at: datetime, *, before: timedelta, again: timedelta) -> Reminder | None:
    """The reminder for a moment; None: it is too early, or the run is due already."""
    if not due_at - max(before, again) <= moment < due_at:
        return None
    if moment >= due_at - again:
        return Reminder("again", due_at, due_at - again)
    return Reminder("first", due_at, due_at - before)
