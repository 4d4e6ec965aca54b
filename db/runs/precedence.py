"""``policy.precedence`` as the order of a query: a drive's queue may be long."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, case, func

from db.models import BackupTask, ChainRun, ScheduledTask
from db.states import BackupType, Kind
from policy.precedence import PRIORITIES, RAREST, URGENT, QueuedFacts, QueuePlace, place


def key(schedule: ScheduledTask) -> QueuePlace:
    """Sorts schedules that are due at the same moment, as their runs will be sorted."""
    return place(
        QueuedFacts(
            kind=Kind.BACKUP.value,
            priority=schedule.priority,
            is_full=schedule.template.type is BackupType.FULL,
            repeats=schedule.schedule_type,
        )
    )


def of_schedules() -> list[SQLColumnExpression[Any]]:
    """``key`` in SQL, for a query of ``ScheduledTask`` with its template ``BackupTask``."""
    return [_priority(), BackupTask.type != BackupType.FULL, _rarity()]


def of_runs() -> list[SQLColumnExpression[Any]]:
    """``place`` in SQL, and then by arrival: for a query of ``ChainRun`` with outer joins to
    its schedule and the template of that."""
    return [
        ChainRun.started_at.is_(None) | ChainRun.opens_at.is_not(None),
        ChainRun.kind.not_in([Kind(each) for each in URGENT]),
        _priority(),
        func.coalesce(BackupTask.type != BackupType.FULL, True),
        _rarity(),
        ChainRun.queued_at,
        ChainRun.id,
    ]


def _priority() -> ColumnElement[int]:
    places = {priority: number for number, priority in enumerate(PRIORITIES)}
    return case(places, value=func.coalesce(ScheduledTask.priority, "normal"))


def _rarity() -> ColumnElement[int]:
    places = {kind: number for number, kind in enumerate(RAREST)}
    return case(places, value=ScheduledTask.schedule_type, else_=len(RAREST))
