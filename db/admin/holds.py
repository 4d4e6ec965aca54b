"""Unfinished runs and schedules of the database that a copy was made from: in the copy they are held until a
person releases them by name. The copy does not know what was written later. So its sets are kept until a
person marks them (``BackupSet.is_restored``): a release does not change that."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db import doubts, events
from db.errors import NotAllowed
from db.models import BackupSet, ChainRun, ScheduledTask
from db.runs import admission, transitions
from db.schedules import planner, schedules
from db.states import ACTIVE, RunState, StepState
from policy.message import M, Message


def held_runs(session: Session) -> list[ChainRun]:
    """The open runs that are held, oldest first."""
    query = select(ChainRun).where(ChainRun.state.in_(ACTIVE), ChainRun.is_held)
    return list(session.scalars(query.order_by(ChainRun.id)))


def held_schedules(session: Session) -> list[ScheduledTask]:
    """The schedules that are enabled and held, by name."""
    return schedules.held(session)


def hold_back(session: Session, drive: str | None = None) -> None:
    """Take the drive from held runs, and record in each story why the run does not continue.

    ``drive``: only for this drive.
    """
    query = select(ChainRun).where(ChainRun.state.in_(ACTIVE), ChainRun.is_held)
    if drive is not None:
        query = query.where(ChainRun.drive == drive)
    for run in session.scalars(query.order_by(ChainRun.id).with_for_update(of=ChainRun)):
        reason = why(run)
        if run.state is RunState.RUNNING:
            for step in run.steps:
                if step.part == run.part and step.state is StepState.RUNNING:
                    admission.reopen(session, run, step.step)
            transitions.transition(session, run, RunState.WAITING_FOR_TAPE, reason)
        elif run.reason != reason.to_json():
            run.reason = reason.to_json()
            events.record(session, run, reason, level="warning")


def why(run: ChainRun) -> Message:
    """Why a held run does not continue, and how to release it."""
    return M(
        "It is held since the database was restored. Release it: tapeline database release --run {run}",
        run=run.id,
    )


def get_held_run(session: Session, run_id: int, *, lock: bool = False) -> ChainRun:
    """An open run that is held. Raises NotFound, NotAllowed."""
    run = transitions.get_active(session, run_id, lock=lock)
    if not run.is_held:
        raise NotAllowed(M("Run {run} is not held.", run=run.id))
    return run


def get_held_schedule(session: Session, name: str) -> ScheduledTask:
    """A schedule that is held. Raises NotFound, NotAllowed."""
    row = schedules.get(session, name)
    if not row.is_held:
        raise NotAllowed(M("Schedule '{schedule}' is not held.", schedule=row.name))
    return row


def release_run(session: Session, run_id: int, who: str) -> ChainRun:
    """Let an open run continue, as soon as its drive is free. Raises NotFound, NotAllowed."""
    run = get_held_run(session, run_id, lock=True)
    hold_back(session, run.drive)
    adopt(session, run)
    reason = M("Released by {who}.", who=who)
    if run.state is RunState.WAITING_FOR_TAPE:
        run.wait_until = run.tape_failed = None
        transitions.transition(session, run, RunState.QUEUED, reason)
    else:
        run.reason = doubts.reason(run).to_json() if run.state is RunState.HELD else None
        events.record(session, run, reason)
    return run


def adopt(session: Session, row: ChainRun | ScheduledTask) -> None:
    """A person has named it: now it belongs to this database."""
    model = type(row)
    session.execute(update(model).where(model.id == row.id).values(home=func.database_home()))
    session.refresh(row, ["home", "is_held"])


def release_schedule(session: Session, name: str, moment: datetime) -> ScheduledTask:
    """Let a schedule fire again, from its next time on. Raises NotFound, NotAllowed."""
    row = get_held_schedule(session, name)
    adopt(session, row)
    planner.plan(row, moment)
    session.flush()
    return row


def hold_everything(session: Session) -> None:
    """Hold everything that is open or planned, as in a copy: for a copy made below the database server."""
    for model in (ChainRun, ScheduledTask, BackupSet):
        session.execute(update(model).values(home="held"))
    session.expire_all()
    hold_back(session)
