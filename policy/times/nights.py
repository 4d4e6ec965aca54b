"""When the runs of the calendar work: in their windows, one after another at each drive; and which nights are
too short."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from policy.times.calendar import CalendarEntry
from policy.times.shelf import PlannedRun

MOST = 60
"""So many nights are counted at most."""


def worked_out(entries: Iterable[CalendarEntry]) -> Iterator[CalendarEntry]:
    """The entries, which ascend in time, with the moment at which each begins to work, behind the run that it
    follows, and the number of openings of its window that it takes. One of unknown duration takes no time."""
    free: dict[str, datetime] = {}
    ended: dict[str, datetime] = {}
    for entry in entries:
        run = entry.planned
        begins = _begins(
            run, max(run.at, free.get(run.drive, run.at), ended.get(run.run_after or "", run.at))
        )
        nights, until, ended[run.schedule] = _works(run, begins)
        free[run.drive] = until
        yield replace(entry, begins=begins, nights=nights)


def _begins(run: PlannedRun, earliest: datetime) -> datetime:
    return earliest if run.window is None else run.window.opening(earliest)


def _works(run: PlannedRun, begins: datetime) -> tuple[int, datetime, datetime]:
    """How many openings a run takes, until when it has the drive the first time, and when it ends."""
    left = timedelta(seconds=run.seconds or 0)
    if run.window is None:
        return 1, begins + left, begins + left
    closes = run.window.closing(begins)
    first, nights = min(begins + left, closes), 1
    left -= closes - begins
    while left > timedelta(0) and nights < MOST:
        begins = run.window.opening(closes)
        closes = run.window.closing(begins)
        left -= closes - begins
        nights += 1
    return nights, first, closes + min(left, timedelta(0))
