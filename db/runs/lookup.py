"""Finds runs by what is known of them: their state, drive or schedule; and the record of a run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Select, func, literal, select
from sqlalchemy.orm import Session

from db.models import BackupTask, ChainRun, Options, ScheduledTask, now
from db.states import ACTIVE, Kind, RunState


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are wanted; a condition that is None excludes none."""

    ids: Collection[int] | None = None
    states: Collection[RunState] | None = None
    kind: Kind | None = None
    drive: str | None = None
    schedule: str | None = None
    before: int | None = None
    """Only runs with a smaller number."""
    limit: int | None = None
    """The newest so many."""

    def query(self) -> Select[ChainRun]:
        """The statement that loads them, in no order."""
        query = select(ChainRun).limit(self.limit)
        if self.ids is not None:
            query = query.where(ChainRun.id.in_(self.ids))
        if self.states is not None:
            query = query.where(ChainRun.state.in_(self.states))
        if self.kind is not None:
            query = query.where(ChainRun.kind == self.kind)
        if self.drive is not None:
            query = query.where(ChainRun.drive == self.drive)
        if self.schedule is not None:
            query = query.where(ChainRun.schedule.has(ScheduledTask.name == self.schedule))
        if self.before is not None:
            query = query.where(ChainRun.id < self.before)
        return query


def same_restore(session: Session, set_id: str, options: Options) -> int | None:
    """The run that has not ended and restores the same of a set into the same folder, or None."""
    query = select(ChainRun).where(
        ChainRun.kind == Kind.RESTORE, ChainRun.set_id == set_id, ChainRun.state.in_(ACTIVE)
    )
    return next((run.id for run in session.scalars(query) if run.options == options), None)


def of_set(session: Session, set_id: str, limit: int) -> list[int]:
    """The runs that wrote, read or verified a set, the newest first, so many at most."""
    query = select(ChainRun.id).where(ChainRun.set_id == set_id).order_by(ChainRun.id.desc())
    return list(session.scalars(query.limit(limit)))


def find(session: Session, wanted: RunFilter) -> list[ChainRun]:
    """Runs, oldest first."""
    newest_first = session.scalars(wanted.query().order_by(ChainRun.id.desc()))
    return list(newest_first)[::-1]


def ids(session: Session, wanted: RunFilter) -> list[int]:
    """The numbers of runs, oldest first."""
    query = wanted.query().with_only_columns(ChainRun.id).order_by(ChainRun.id.desc())
    return list(session.scalars(query))[::-1]


def queued_for(session: Session) -> set[str]:
    """The drives for which a run is queued that may begin."""
    return set(
        session.scalars(select(ChainRun.drive).where(ChainRun.state == RunState.QUEUED, may_begin(now())))
    )


def may_begin(moment: datetime) -> ColumnElement[bool]:
    """The condition that a run waits neither for another schedule nor until the window of its own opens."""
    is_open = ChainRun.opens_at.is_(None) | (ChainRun.opens_at <= moment)
    return is_open & ChainRun.awaits.is_(None)


def active_of(session: Session, schedule_id: int | None, *, other_than: int | None = None) -> int | None:
    """The run of a schedule that has not ended; None if there is none. ``other_than``: this run does not
    count."""
    active = select(ChainRun.id).where(ChainRun.schedule_id == schedule_id, ChainRun.state.in_(ACTIVE))
    if other_than is not None:
        active = active.where(ChainRun.id != other_than)
    return session.scalar(active)


def drive_of(session: Session, run_id: int) -> str | None:
    """The drive of a run; None: there is no such run."""
    # Only the column: a row loaded here would be stale when the caller locks it.
    return session.scalar(select(ChainRun.drive).where(ChainRun.id == run_id))


def counts(session: Session) -> dict[RunState, int]:
    """How many runs are in each state; a state without runs is missing."""
    rows = session.execute(select(ChainRun.state, func.count()).group_by(ChainRun.state))
    return {state: count for state, count in rows}  # noqa: C416 - rows are no dictionary's items to mypy


def newest(session: Session, schedule_ids: list[int]) -> dict[int, int]:
    """By schedule, the newest run of each of some that was not merely skipped."""
    asked = (
        func.unnest(literal(schedule_ids, ARRAY(BigInteger))).table_valued("id").render_derived(name="asked")
    )
    of_state = (
        select(func.max(ChainRun.id)).where(ChainRun.schedule_id == asked.c.id, ChainRun.state == state)
        for state in RunState
        if state is not RunState.SKIPPED
    )
    # By state, because an index finds the newest one of each; GREATEST leaves out what there is not.
    newest_id = func.greatest(*(each.scalar_subquery() for each in of_state))
    rows = session.execute(select(asked.c.id, newest_id))
    return {schedule: number for schedule, number in rows if number is not None}


def record_of(session: Session, run: ChainRun) -> BackupTask | None:
    """The execution record of a run; None: ``create_record`` has not made it yet."""
    return session.scalar(select(BackupTask).where(BackupTask.run_id == run.id))


def record_made(session: Session, run: ChainRun) -> BackupTask:
    """The execution record of a run whose step ``create_record`` is done."""
    return session.scalars(select(BackupTask).where(BackupTask.run_id == run.id)).one()
