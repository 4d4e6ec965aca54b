"""Whether a run is created: for an occurrence of a schedule, or a request; a refusal is a skipped run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import events
from db.errors import NotFound
from db.models import BackupSet, ChainRun, ChainStep, Options, RunNotes, ScheduledTask, now
from db.runs import announcing, followers, lookup
from db.sets import copying
from db.states import (
    STEPS,
    Kind,
    RunState,
    Trigger,
)
from db.tapes import permits
from policy.message import M, Message
from policy.times import period


def start(
    session: Session,
    schedule: ScheduledTask,
    *,
    due_at: datetime,
    trigger: Trigger,
    requested_by: str | None = None,
    options: Options | None = None,
) -> ChainRun | None:
    """Decide whether a run of a schedule exists; the decision is a row in either case.

    A refusal is a run in state SKIPPED with its reason; one that follows a failure is missed. Returns None if
    this ``due_at`` was seen before: the decision was made then. ``options``: given by hand; the sets that it
    gives up are those on the tape now.
    """
    seen = select(ChainRun.id).where(ChainRun.schedule_id == schedule.id, ChainRun.due_at == due_at)
    if session.scalar(seen):
        return None
    options = options or Options()
    run = ChainRun(
        kind=Kind.BACKUP,
        schedule_id=schedule.id,
        trigger=trigger,
        requested_by=requested_by,
        drive=schedule.drive,
        due_at=due_at,
        period=period.key(schedule.schedule_type, due_at, schedule.time_zone),
        options=options,
        notes=RunNotes(erase_sets=permits.named_sets(session, options.erase_label)),
    )
    refusal = _refusal(session, schedule, due_at, trigger)
    if refusal is None and trigger is Trigger.SCHEDULE:
        never = followers.why_never(session, schedule, due_at)
        if never is not None:
            return record_missed(session, schedule, due_at, never)
    if refusal is None:
        refusal = _insert_queued(session, run, schedule.name)
    if refusal is None and trigger is Trigger.SCHEDULE:
        followers.put_off(session, run, schedule)
    if refusal is not None:
        _insert_skipped(session, run, refusal)
    return run


def of_moment(session: Session, schedule: ScheduledTask, due_at: datetime) -> ChainRun:
    """The run of a schedule that was due at a moment."""
    query = select(ChainRun).where(ChainRun.schedule_id == schedule.id, ChainRun.due_at == due_at)
    return session.scalars(query).one()


def _refusal(session: Session, schedule: ScheduledTask, due_at: datetime, trigger: Trigger) -> Message | None:
    if not schedule.enabled:
        return M("Schedule '{schedule}' is disabled.", schedule=schedule.name)
    if schedule.is_held:
        return M("Schedule '{schedule}' is held since the database was restored.", schedule=schedule.name)
    active = lookup.active_of(session, schedule.id)
    if active:
        return already_active(schedule.name, active)
    return period_refusal(schedule, due_at) if trigger is Trigger.SCHEDULE else None


def already_active(schedule: str, run_id: int) -> Message:
    return M("Run {run} of schedule '{schedule}' is not finished yet.", run=run_id, schedule=schedule)


def period_refusal(schedule: ScheduledTask, due_at: datetime) -> Message | None:
    """Why an automatic run due at ``due_at`` has nothing to do, or None."""
    if not period.is_done(schedule.schedule_type, due_at, schedule.last_success_time, schedule.time_zone):
        return None
    return M(
        "Period {period} of schedule '{schedule}' has its backup already.",
        period=period.key(schedule.schedule_type, due_at, schedule.time_zone),
        schedule=schedule.name,
    )


def _insert_queued(session: Session, run: ChainRun, schedule: str) -> Message | None:
    """Insert a run, or return which active run was faster; the partial unique index decides."""
    run.state = RunState.QUEUED
    try:
        with session.begin_nested():
            session.add(run)
            session.flush()
    except IntegrityError as error:
        if "uq_chain_runs_active_schedule" not in str(error.orig):
            raise
        return already_active(schedule, lookup.active_of(session, run.schedule_id) or 0)
    add_steps(session, run)
    events.record(session, run, _queued(run))
    return None


def _queued(run: ChainRun) -> Message:
    if run.requested_by:
        return M("Queued for drive {drive} by {who}.", drive=run.drive, who=run.requested_by)
    return M("Queued for drive {drive}.", drive=run.drive)


def _insert_skipped(session: Session, run: ChainRun, refusal: Message) -> None:
    run.state = RunState.SKIPPED
    run.reason = refusal.to_json()
    run.finished_at = now()
    session.add(run)
    session.flush()
    events.record(session, run, M("Skipped: {reason}", reason=refusal.to_json()))
    announcing.announce_state(session, run, refusal)


def record_missed(
    session: Session, schedule: ScheduledTask, due_at: datetime, reason: Message
) -> ChainRun | None:
    """Record an occurrence that nothing could start in time: a SKIPPED run, announced as missed.

    Returns None if this ``due_at`` was decided before.
    """
    seen = select(ChainRun.id).where(ChainRun.schedule_id == schedule.id, ChainRun.due_at == due_at)
    if session.scalar(seen):
        return None
    run = ChainRun(
        kind=Kind.BACKUP,
        schedule_id=schedule.id,
        trigger=Trigger.SCHEDULE,
        state=RunState.SKIPPED,
        drive=schedule.drive,
        due_at=due_at,
        period=None
        if schedule.plan_error
        else period.key(schedule.schedule_type, due_at, schedule.time_zone),
        reason=reason.to_json(),
        is_missed=True,
        finished_at=now(),
    )
    session.add(run)
    session.flush()
    events.record(session, run, M("Missed: {reason}", reason=reason.to_json()), level="warning")
    announcing.announce(session, run, "missed", reason, followers.remedy_of_missed(schedule))
    return run


def start_restore(
    session: Session,
    *,
    set_id: str,
    drive: str,
    options: Options,
    requested_by: str | None,
    cartridges: Sequence[int] | None = None,
) -> ChainRun:
    """Queue a restore of a set. ``cartridges``: the tapes that it needs, if known. Raises NotFound."""
    if session.get(BackupSet, set_id) is None:
        raise NotFound(M("There is no backup set '{set}'.", set=set_id), M("'tapeline sets' lists them."))
    run = ChainRun(
        kind=Kind.RESTORE,
        set_id=set_id,
        drive=drive,
        options=options,
        notes=RunNotes(cartridges=None if cartridges is None else tuple(cartridges)),
        requested_by=requested_by,
    )
    return _queue(session, run)


def start_verify(
    session: Session,
    *,
    set_id: str,
    drive: str,
    percent: int,
    requested_by: str | None,
    tape: str | None = None,
) -> ChainRun:
    """Queue a verification of so many percent of a set. ``tape``: the one to read, which has a copy. Raises
    NotFound, also if its tape was formatted since."""
    tapes = copying.to_verify(session, set_id, tape)
    run = ChainRun(
        kind=Kind.VERIFY,
        set_id=set_id,
        drive=drive,
        options=Options(percent=percent),
        notes=RunNotes(cartridges=tuple(each.id for each in tapes)),
        requested_by=requested_by,
    )
    return _queue(session, run)


def start_copy(
    session: Session, *, set_id: str, drive: str, pool: str | None, requested_by: str | None
) -> ChainRun:
    """Queue a copy of a set to another tape: of a pool, or a blank one or one of this month. Raises NotFound,
    NotAllowed."""
    plan = copying.plan(session, set_id)
    run = ChainRun(
        kind=Kind.COPY,
        set_id=set_id,
        drive=drive,
        options=Options(pool=pool),
        # It waits for each of its tapes.
        notes=RunNotes(cartridges=tuple(tape.id for tape in plan.tapes), next_tape=True),
        requested_by=requested_by,
    )
    return _queue(session, run)


def start_import(
    session: Session,
    *,
    drive: str,
    requested_by: str | None,
    identity: str | None = None,
    tape: str | None = None,
) -> ChainRun:
    """Queue an import at a drive. ``identity``: the file with the secret key, on the drive's host. ``tape``:
    the barcode or label of the tape to read, which a library brings; None: the one in the drive."""
    run = ChainRun(
        kind=Kind.IMPORT,
        drive=drive,
        options=Options(identity=identity, tape=tape),
        requested_by=requested_by,
    )
    return _queue(session, run)


def _queue(session: Session, run: ChainRun) -> ChainRun:
    """Queue a run without a schedule; if nobody requested it, it follows a run of a schedule."""
    run.trigger = Trigger.MANUAL if run.requested_by else Trigger.SCHEDULE
    run.state, run.due_at = RunState.QUEUED, now()
    session.add(run)
    session.flush()
    add_steps(session, run)
    events.record(session, run, _queued(run))
    return run


def add_steps(session: Session, run: ChainRun) -> None:
    session.add_all(
        ChainStep(run_id=run.id, part=run.part, step=step, position=position)
        for position, step in enumerate(STEPS[run.kind])
    )
    session.flush()
