"""Which queued run gets a drive, how often a run was sent, and where it continues: step and part."""

from __future__ import annotations

import hashlib

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from db import events
from db.errors import NotAllowed
from db.libraries import robot
from db.models import BackupTask, ChainRun, ChainStep, ScheduledTask, now
from db.runs import lookup, precedence, starting, transitions, windows
from db.states import (
    STEPS,
    RunState,
    Step,
    StepState,
)
from db.tapes import drives
from policy.message import M, Message


def admit(session: Session, drive: str) -> ChainRun | None:
    """Give the drive to the queued run that goes first, if it is free; the run becomes RUNNING with a new
    dispatch.

    The caller commits and then sends the run's chain. One admission at a time for each drive.
    """
    _lock(session, drive)
    if drives.running(session, drive) is not None or robot.is_served_by_hand(session, drive):
        return None
    run = _first(session, drive)
    while run is not None and windows.put_off(session, run):
        session.flush()
        run = _first(session, drive)
    if run is None or not transitions.transition(session, run, RunState.RUNNING):
        return None
    new_dispatch(run)
    return run


def _first(session: Session, drive: str) -> ChainRun | None:
    """Of the runs that are queued for a drive and may begin, the one that goes first."""
    return session.scalar(
        select(ChainRun)
        .outerjoin(ScheduledTask, ChainRun.schedule_id == ScheduledTask.id)
        .outerjoin(BackupTask, ScheduledTask.template_id == BackupTask.id)
        .where(ChainRun.drive == drive, ChainRun.state == RunState.QUEUED, ~ChainRun.is_held)
        .where(lookup.may_begin(now()))
        .order_by(*precedence.of_runs())
        .limit(1)
        .with_for_update(of=ChainRun)
    )


def _lock(session: Session, drive: str) -> None:
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _admission_key(drive)})


def check_free(session: Session, drive: str) -> None:
    """Until the transaction ends, no run gets the drive. Raises NotAllowed if one has it: its tape stays
    in."""
    _lock(session, drive)
    if drives.running(session, drive) is not None:
        raise NotAllowed(
            M("A run works at drive {drive} now: its tape stays in.", drive=drive),
            M("Wait for it or cancel it: tapeline runs --state RUNNING"),
        )


def _admission_key(drive: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"admit:{drive}".encode(), digest_size=8).digest(), signed=True)


def new_dispatch(run: ChainRun) -> None:
    """Give the run a new dispatch number, so that every message sent before does nothing."""
    run.dispatch += 1
    run.dispatched_at = now()


def first_open_step(session: Session, run: ChainRun) -> ChainStep | None:
    """The first unfinished step of the run's part, or None."""
    return session.scalar(
        select(ChainStep)
        .where(
            ChainStep.run_id == run.id,
            ChainStep.part == run.part,
            ChainStep.state.not_in([StepState.SUCCEEDED, StepState.SKIPPED]),
        )
        .order_by(ChainStep.position)
        .limit(1)
    )


def begin_part(session: Session, run: ChainRun, reason: Message) -> None:
    """Let the run pass the chain again, with another cartridge and so under its own permit.

    The unfinished steps of the part before are marked as not needed. The caller gives the run a new dispatch.
    """
    session.execute(
        update(ChainStep)
        .where(
            ChainStep.run_id == run.id,
            ChainStep.part == run.part,
            ChainStep.state.not_in([StepState.SUCCEEDED, StepState.SKIPPED]),
        )
        .values(state=StepState.SKIPPED, finished_at=now(), result={"reason": reason.to_json()})
    )
    run.part += 1
    run.tape_seen = None
    run.tape_failed = None
    run.wait_until = None
    starting.add_steps(session, run)
    session.expire(run, ["steps"])
    events.record(session, run, M("Part {part} begins: {reason}", part=run.part, reason=reason.to_json()))


def reopen(session: Session, run: ChainRun, step: Step) -> None:
    """Make a step and all that follow it in this part claimable again."""
    position = STEPS[run.kind].index(step)
    session.execute(
        update(ChainStep)
        .where(ChainStep.run_id == run.id, ChainStep.part == run.part, ChainStep.position >= position)
        .values(state=StepState.PENDING, heartbeat_at=None, finished_at=None, error=None, result=None)
    )
    session.expire(run, ["steps"])
