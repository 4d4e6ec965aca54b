"""Which of several runs goes first at one drive: the one rule of its queue."""

from __future__ import annotations

from dataclasses import dataclass

from policy.times.period import ScheduleType

URGENT = ("restore", "import")
"""Kinds of runs for which somebody waits."""

PRIORITIES = ("high", "normal", "low")
"""The values of a schedule's ``priority``, first to last."""

RAREST = (ScheduleType.YEARLY, ScheduleType.MONTHLY, ScheduleType.WEEKLY)
"""Schedules whose next chance is far, the farthest first: a night that is missed costs them most."""

QueuePlace = tuple[bool, bool, int, bool, int]


@dataclass(frozen=True, slots=True)
class QueuedFacts:
    """What decides about a run in the queue of its drive."""

    kind: str
    keeps_its_tape: bool = False
    """It has begun, and the tape in the drive was inserted for it. One that has paused keeps none: others may
    have used the drive since."""
    priority: str = "normal"
    """That of its schedule; normal without one."""
    is_full: bool = False
    """Increments that are due with it build on it."""
    repeats: ScheduleType | None = None
    """How its schedule repeats; None without one."""


def place(run: QueuedFacts) -> QueuePlace:
    """Sorts the runs that wait for a drive; those of the same place go in the order in which they came."""
    return (
        not run.keeps_its_tape,
        run.kind not in URGENT,
        PRIORITIES.index(run.priority),
        not run.is_full,
        RAREST.index(run.repeats) if run.repeats in RAREST else len(RAREST),
    )
