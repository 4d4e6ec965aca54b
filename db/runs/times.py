"""How long a run worked, and how fast it wrote."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import Text, cast, func, select, true
from sqlalchemy.orm import Session

from db.models import BackupSet, BackupTask, ChainRun, ScheduledTask, now
from db.runs.lookup import RunFilter


def worked_seconds(run: ChainRun) -> float | None:
    """How long a run has worked, without waiting for a tape and without the time after a failure. None: it
    has not begun."""
    if run.started_at is None:
        return None
    until = run.idle_since or run.finished_at or now()
    return max((until - run.started_at).total_seconds() - run.idle_seconds, 0.0)


def written(session: Session, wanted: RunFilter, newest: int) -> list[dict[str, Any]]:
    """The newest so many finished sets of some runs, oldest first: bytes, and the seconds that they took
    without waiting for a tape."""
    worked = func.extract("epoch", ChainRun.idle_since - ChainRun.started_at) - ChainRun.idle_seconds
    took = func.least(func.extract("epoch", BackupSet.finished_at - BackupSet.started_at), worked)
    rows = session.execute(
        replace(wanted, limit=newest)
        .query()
        .with_only_columns(ChainRun.id, BackupSet.bytes, took, maintain_column_froms=True)
        .join(BackupSet, BackupSet.run_id == ChainRun.id)
        .where(BackupSet.finished_at.is_not(None))
        .order_by(ChainRun.id.desc())
    ).all()
    return [{"run": run, "bytes": size, "seconds": float(seconds)} for run, size, seconds in reversed(rows)]


USUAL = 12
"""Of how many earlier sets the usual duration is the median."""


def usual_seconds(session: Session, schedule_ids: Iterable[int]) -> dict[int, float]:
    """By template of some schedules: how long the runs of its last sets of its type worked, as their median.
    Until now none has finished: it is missing."""
    worked = func.extract("epoch", ChainRun.idle_since - ChainRun.started_at) - ChainRun.idle_seconds
    last = (
        select(worked.label("seconds"))
        .select_from(BackupSet)
        .join(ChainRun, ChainRun.id == BackupSet.run_id)
        .where(
            BackupSet.template_id == BackupTask.id,
            cast(BackupSet.type, Text) == cast(BackupTask.type, Text),
            BackupSet.finished_at.is_not(None),
            ChainRun.idle_since.is_not(None),
        )
        .order_by(BackupSet.started_at.desc())
        .limit(USUAL)
        .lateral()
    )
    median = func.percentile_cont(0.5).within_group(last.c.seconds)
    rows = session.execute(
        select(BackupTask.id, median)
        .select_from(ScheduledTask)
        .join(BackupTask, BackupTask.id == ScheduledTask.template_id)
        .join(last, true())
        .where(ScheduledTask.id.in_(list(schedule_ids)))
        .group_by(BackupTask.id)
    )
    return {template: float(seconds) for template, seconds in rows if seconds is not None}


def newest_backups(session: Session) -> dict[int, tuple[int, float]]:
    """By schedule: the bytes of its newest set, and the seconds in which that was written, without the time
    in which its run waited for a tape in the middle of it."""
    newest = (
        select(BackupSet.run_id, BackupSet.bytes, BackupSet.started_at, BackupSet.finished_at)
        .where(BackupSet.template_id == ScheduledTask.template_id, BackupSet.finished_at.is_not(None))
        .order_by(BackupSet.started_at.desc())
        .limit(1)
        .lateral()
    )
    whole = func.extract("epoch", newest.c.finished_at - newest.c.started_at)
    worked = func.extract("epoch", ChainRun.idle_since - ChainRun.started_at) - ChainRun.idle_seconds
    rows = session.execute(
        # LEAST leaves out what is not known.
        select(ScheduledTask.id, newest.c.bytes, func.least(whole, worked))
        .select_from(ScheduledTask)
        .join(newest, true())
        .outerjoin(ChainRun, ChainRun.id == newest.c.run_id)
        .where(ScheduledTask.archived_at.is_(None))
    )
    return {schedule: (size, float(seconds)) for schedule, size, seconds in rows}
