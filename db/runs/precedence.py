"""Which of several runs goes first at one drive."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, case, func

from db.models import BackupTask, ChainRun, ScheduledTask
from db.states import BackupType, Kind

PRIORITIES = ("high", "normal", "low")
"""The values of a schedule's ``priority``, first to last."""

URGENT = (Kind.RESTORE, Kind.IMPORT)
"""Somebody waits for them."""


def key(schedule: ScheduledTask) -> tuple[int, bool]:
    """Sorts schedules that are due at the same moment: by priority, then full backups before those that build
    on them."""
    return PRIORITIES.index(schedule.priority), schedule.template.type is not BackupType.FULL


def of_schedules() -> list[SQLColumnExpression[Any]]:
    """``key`` in SQL, for a query of ``ScheduledTask`` with its template ``BackupTask``."""
    return [_rank(), BackupTask.type != BackupType.FULL]


def of_runs() -> list[SQLColumnExpression[Any]]:
    """The order of queued runs, for a query of ``ChainRun`` with outer joins to its schedule and template.

    A run that has begun goes on first: the tape in the drive was inserted for it; one that has paused does
    not, because others may have used the drive since. Then restores and imports,
    then by the schedule's priority (normal for a run without a schedule), full backups first, and by arrival.
    """
    return [
        ChainRun.started_at.is_(None) | ChainRun.opens_at.is_not(None),
        ChainRun.kind.not_in(URGENT),
        _rank(),
        func.coalesce(BackupTask.type != BackupType.FULL, True),
        ChainRun.queued_at,
        ChainRun.id,
    ]


def _rank() -> ColumnElement[int]:
    places = {priority: place for place, priority in enumerate(PRIORITIES)}
    return case(places, value=func.coalesce(ScheduledTask.priority, "normal"))
