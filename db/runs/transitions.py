"""Runs: start, admission, and the one function that changes a state."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import events
from db.errors import NotAllowed, NotFound
from db.models import BackupSet, BackupTask, ChainRun, ChainStep, RunEvent, ScheduledTask, TapeCartridge, now
from db.runs import remedies
from db.sets import catalog
from db.states import (
    ACTIVE,
    ENDED,
    STEPS,
    TRANSITIONS,
    BackupType,
    Kind,
    RecordState,
    RunState,
    Step,
    StepState,
    Trigger,
)
from db.tapes import cartridges, permits
from policy.guard import Doubt
from policy.message import M, Message
from policy.tapes.facts import CartridgeState, SetState
from policy.times import period


def get(session: Session, run_id: int, *, lock: bool = False) -> ChainRun:
    """A run by its id. Raises NotFound. ``lock``: nobody else changes it until the transaction ends."""
    run = session.get(ChainRun, run_id, with_for_update=lock or None, populate_existing=lock)
    if run is None:
        raise NotFound(M("There is no run {id}.", id=run_id), M("'tapeline runs' lists them."))
    return run


def get_active(session: Session, run_id: int, *, lock: bool = False) -> ChainRun:
    """A run that has not ended. Raises NotFound, NotAllowed."""
    run = get(session, run_id, lock=lock)
    if run.state in ENDED:
        raise NotAllowed(M("Run {id} has ended already: {state}.", id=run.id, state=run.state.value))
    return run


def get_unless_locked(session: Session, run_id: int) -> ChainRun | None:
    """A run, locked; None if another transaction has its row locked, which is not waited for."""
    chosen = select(ChainRun).where(ChainRun.id == run_id)
    return session.scalar(chosen.with_for_update(skip_locked=True).execution_options(populate_existing=True))


def transition(
    session: Session,
    run: ChainRun,
    to: RunState,
    reason: Message | None = None,
    remedy: Message | None = None,
) -> bool:
    """Change a run's state, if it is still the state of ``run``; the only place where a state changes.

    Writes the event and, if the new state is announced, the outbox row in the same transaction. Returns
    False, and changes nothing, if another transaction was faster. Raises NotAllowed for a transition that the
    state machine does not have.
    """
    expected = run.state
    if to not in TRANSITIONS[expected]:
        raise NotAllowed(
            M("Run {id} is {state} and cannot become {to}.", id=run.id, state=expected.value, to=to.value)
        )
    moment = now()
    is_first_start = to is RunState.RUNNING and run.started_at is None
    changed = session.execute(
        update(ChainRun)
        .where(ChainRun.id == run.id, ChainRun.state == expected)
        .values(
            state=to,
            reason=reason.to_json() if reason else None,
            finished_at=moment if to in ENDED else None,
            moved_at=moment,
            started_at=func.coalesce(ChainRun.started_at, moment)
            if to is RunState.RUNNING
            else ChainRun.started_at,
            **_idle(run, expected, to, moment),
        )
        .returning(ChainRun.id)
    ).scalar_one_or_none()
    if changed is None:
        return False
    session.refresh(run)
    _after_transition(session, run, expected, reason, remedy)
    if is_first_start:
        announce(session, run, "started", None)
    return True


def _idle(run: ChainRun, before: RunState, to: RunState, moment: datetime) -> dict[str, Any]:
    """Accounts for the time in which a run does not work."""
    if to is RunState.RUNNING:
        past = (moment - run.idle_since).total_seconds() if run.idle_since else 0.0
        return {"idle_since": None, "idle_seconds": run.idle_seconds + past}
    return {"idle_since": moment} if before is RunState.RUNNING else {}


def worked_seconds(run: ChainRun) -> float | None:
    """How long a run has worked, without waiting for a tape and without the time after a failure. None: it
    has not begun."""
    if run.started_at is None:
        return None
    until = run.idle_since or run.finished_at or now()
    return max((until - run.started_at).total_seconds() - run.idle_seconds, 0.0)


def _after_transition(
    session: Session, run: ChainRun, before: RunState, reason: Message | None, remedy: Message | None
) -> None:
    level = "error" if run.state is RunState.FAILED else "info"
    message = (
        M("{before} → {after}: {reason}", before=before.value, after=run.state.value, reason=reason.to_json())
        if reason
        else M("{before} → {after}", before=before.value, after=run.state.value)
    )
    events.record(session, run, message, level=level)
    _note_on_schedule(session, run)
    if run.state in ENDED and run.kind is Kind.BACKUP:
        _close_unfinished(session, run)
        permits.doubt_unread(session, run)
    if run.state in events.ENDINGS:
        _announce_state(session, run, reason, remedy)


def _close_unfinished(session: Session, run: ChainRun) -> None:
    """A run that ends without finishing marks set and record as unfinished; nothing on tape is changed."""
    session.execute(
        update(BackupSet)
        .where(BackupSet.id == run.set_id, BackupSet.state == SetState.WRITING)
        .values(state=SetState.INCOMPLETE)
    )
    session.execute(
        update(BackupTask)
        .where(BackupTask.run_id == run.id, BackupTask.state != RecordState.COMPLETED)
        .values(state=RecordState.FAILED, error=run.reason, finished_at=run.finished_at)
    )


def _note_on_schedule(session: Session, run: ChainRun) -> None:
    if run.schedule is None:
        return
    if run.state is RunState.RUNNING:
        run.schedule.last_run_time = now()
    elif run.state is RunState.SUCCEEDED and _settles_its_period(session, run, run.schedule):
        run.schedule.last_success_time = max(run.due_at, run.schedule.last_success_time or run.due_at)
    elif run.state is RunState.FAILED:
        run.schedule.last_failure_time = run.finished_at


def _settles_its_period(session: Session, run: ChainRun, schedule: ScheduledTask) -> bool:
    """Whether a success gives the schedule the set that its period needs: one of its own type, or a full one.
    An increment by hand instead of a full one does not."""
    stored = session.get(BackupSet, run.set_id) if run.set_id else None
    made = stored.type if stored else BackupType(run.options.get("type") or schedule.template.type)
    return made in {BackupType.FULL, schedule.template.type}


def _announce_state(
    session: Session, run: ChainRun, reason: Message | None, remedy: Message | None = None
) -> None:
    stored = session.get(BackupSet, run.set_id) if run.set_id else None
    event = events.ENDINGS[run.state]
    if run.state is RunState.SUCCEEDED and _came_to(session, run, stored).get("warnings"):
        event = "warnings"
    if run.state is RunState.SUCCEEDED and run.condition:
        event = "warnings"
    if run.state is RunState.FAILED and _has_bad_tape(session, run, stored):
        event = "tape_error"
    if run.state is RunState.WAITING_FOR_TAPE and _is_said(session, run, reason):
        return
    announce(session, run, event, reason, remedy)


def _is_said(session: Session, run: ChainRun, reason: Message | None) -> bool:
    """A run that waits again for the same reason is not announced again; reminders have their own
    schedule."""
    last = events.last_of(session, run, "waiting_for_tape")
    return last is not None and last.created_at >= run.queued_at and last.facts["reason"] == _json(reason)


def _has_bad_tape(session: Session, run: ChainRun, stored: BackupSet | None) -> bool:
    """Whether nothing may write to the cartridge of the run any more."""
    known = [
        session.get(TapeCartridge, stored.cartridge_id) if stored and stored.cartridge_id else None,
        cartridges.recognise(session, run.tape_seen) if run.tape_seen else None,
    ]
    return any(cartridge and cartridge.state is CartridgeState.ERROR for cartridge in known)


def announce(
    session: Session,
    run: ChainRun,
    event: str,
    reason: Message | None,
    remedy: Message | None = None,
    *,
    label: str | None = None,
) -> None:
    """Put an event of the run into the outbox, with the facts of this moment.

    ``label``: the one tape that it is about, if the set may be on several.
    """
    stored = session.get(BackupSet, run.set_id) if run.set_id else None
    ended = run.finished_at or now()
    facts = {
        "event": event,
        "run_id": run.id,
        "schedule": run.schedule.name if run.schedule else None,
        "kind": run.kind.value,
        "trigger": run.trigger.value,
        "drive": run.drive,
        "label": label or _labels(session, stored) or (run.tape_seen or {}).get("label"),
        # The set of a backup is in the catalogue from its first byte on.
        "set_id": run.set_id if stored or run.kind is not Kind.BACKUP else None,
        **_came_to(session, run, stored),
        "condition": run.condition,
        "doubts": [Doubt.from_json(each).in_words.to_json() for each in run.doubts]
        if event == "held"
        else [],
        "first_warnings": _first_warnings(session, run),
        "seconds": None if event == "started" else worked_seconds(run),
        "reason": _json(reason),
        "remedy": _json(remedies.remedy(session, run, event, remedy)),
        "safe": _json(remedies.safe(session, run, event)),
        "newest": _json(remedies.newest(session, run, event)),
        "next_command": remedies.command(session, run, event),
        "at": ended.isoformat(),
        # For a schedule with a wrong zone, this is reported on a clock that is right.
        "time_zone": run.schedule.time_zone if run.schedule and not run.schedule.plan_error else None,
        "cancelled_by": run.cancelled_by if run.cancel_requested_at else None,
    }
    events.announce(session, run, event, facts)


def _labels(session: Session, stored: BackupSet | None) -> str | None:
    """The label of the tape that a set is on, or those of all."""
    tapes = catalog.tapes(session, stored.id) if stored else []
    return ", ".join(tape.label or tape.tape_id for tape in tapes) or None


def _came_to(session: Session, run: ChainRun, stored: BackupSet | None) -> dict[str, Any]:
    """How much a backup has stored, or a restore has restored and where, or a verification has read."""
    if run.kind is Kind.BACKUP and stored:
        return {"files": stored.files, "size": stored.bytes, "warnings": stored.warnings}
    working = {Kind.RESTORE: Step.RESTORE, Kind.VERIFY: Step.VERIFY}.get(run.kind)
    step = session.get(ChainStep, (run.id, run.part, working)) if working else None
    done = (step.result or {}) if step else {}
    return {
        "files": done.get("files"),
        "size": done.get("bytes"),
        "kept": done.get("kept", 0),
        "target": done.get("target"),
        "warnings": done.get("warnings", 0),
    }


def _json(message: Message | None) -> dict[str, Any] | None:
    return message.to_json() if message else None


def _first_warnings(session: Session, run: ChainRun) -> list[dict[str, Any]]:
    return list(
        session.scalars(
            select(RunEvent.message)
            .where(
                RunEvent.run_id == run.id,
                RunEvent.step.in_((Step.RUN_BACKUP, Step.RESTORE)),
                RunEvent.level == "warning",
            )
            .order_by(RunEvent.id)
            .limit(3)
        )
    )


def start(
    session: Session,
    schedule: ScheduledTask,
    *,
    due_at: datetime,
    trigger: Trigger,
    requested_by: str | None = None,
    options: dict[str, Any] | None = None,
) -> ChainRun | None:
    """Decide whether a run of a schedule exists; the decision is a row in either case.

    A refusal is a run in state SKIPPED with its reason. Returns None if this ``due_at`` was seen before: the
    decision was made then.
    """
    seen = select(ChainRun.id).where(ChainRun.schedule_id == schedule.id, ChainRun.due_at == due_at)
    if session.scalar(seen):
        return None
    run = ChainRun(
        kind=Kind.BACKUP,
        schedule_id=schedule.id,
        trigger=trigger,
        requested_by=requested_by,
        drive=schedule.drive,
        due_at=due_at,
        period=period.key(schedule.schedule_type, due_at, schedule.time_zone),
        options=options or {},
    )
    refusal = _refusal(session, schedule, due_at, trigger)
    if refusal is None:
        refusal = _insert_queued(session, run, schedule.name)
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
    active = session.scalar(
        select(ChainRun.id).where(ChainRun.schedule_id == schedule.id, ChainRun.state.in_(ACTIVE))
    )
    if active:
        return _active(schedule.name, active)
    return period_refusal(schedule, due_at) if trigger is Trigger.SCHEDULE else None


def _active(schedule: str, run_id: int) -> Message:
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
    """Insert a run, or say which active run was faster; the partial unique index decides."""
    run.state = RunState.QUEUED
    try:
        with session.begin_nested():
            session.add(run)
            session.flush()
    except IntegrityError as error:
        if "uq_chain_runs_active_schedule" not in str(error.orig):
            raise
        active = session.scalar(
            select(ChainRun.id).where(ChainRun.schedule_id == run.schedule_id, ChainRun.state.in_(ACTIVE))
        )
        return _active(schedule, active or 0)
    _add_steps(session, run)
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
    _announce_state(session, run, refusal)


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
        finished_at=now(),
    )
    session.add(run)
    session.flush()
    events.record(session, run, M("Missed: {reason}", reason=reason.to_json()), level="warning")
    remedy = M("If it is still wanted, run it now: tapeline schedule run {name}", name=schedule.name)
    announce(session, run, "missed", reason, remedy)
    return run


def start_restore(
    session: Session,
    *,
    set_id: str,
    drive: str,
    options: dict[str, Any],
    requested_by: str | None,
) -> ChainRun:
    """Queue a restore of a set. Raises NotFound."""
    if session.get(BackupSet, set_id) is None:
        raise NotFound(M("There is no backup set '{set}'.", set=set_id), M("'tapeline sets' lists them."))
    run = ChainRun(kind=Kind.RESTORE, set_id=set_id, drive=drive, options=options, requested_by=requested_by)
    return _queue(session, run)


def start_verify(
    session: Session, *, set_id: str, drive: str, percent: int, requested_by: str | None
) -> ChainRun:
    """Queue a verification of so many percent of a set. Raises NotFound."""
    cartridges = [cartridge.id for cartridge in catalog.tapes(session, set_id)]
    options = {"percent": percent, "cartridges": cartridges}
    run = ChainRun(kind=Kind.VERIFY, set_id=set_id, drive=drive, options=options, requested_by=requested_by)
    return _queue(session, run)


def start_import(
    session: Session, *, drive: str, options: dict[str, Any], requested_by: str | None
) -> ChainRun:
    """Queue an import of the tape in a drive."""
    run = ChainRun(kind=Kind.IMPORT, drive=drive, options=options, requested_by=requested_by)
    return _queue(session, run)


def _queue(session: Session, run: ChainRun) -> ChainRun:
    """Queue a run without a schedule; if nobody requested it, it follows a run of a schedule."""
    run.trigger = Trigger.MANUAL if run.requested_by else Trigger.SCHEDULE
    run.state, run.due_at = RunState.QUEUED, now()
    session.add(run)
    session.flush()
    _add_steps(session, run)
    events.record(session, run, _queued(run))
    return run


def _add_steps(session: Session, run: ChainRun) -> None:
    session.add_all(
        ChainStep(run_id=run.id, part=run.part, step=step, position=position)
        for position, step in enumerate(STEPS[run.kind])
    )
    session.flush()


def admit(session: Session, drive: str) -> ChainRun | None:
    """Give the drive to the oldest queued run, if the drive is free; it becomes RUNNING with a new dispatch.

    The caller commits and then sends the run's chain. One admission at a time for each drive.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _admission_key(drive)})
    if has_drive(session, drive):
        return None
    run = session.scalar(
        select(ChainRun)
        .where(ChainRun.drive == drive, ChainRun.state == RunState.QUEUED, ~ChainRun.is_held)
        .order_by(ChainRun.queued_at, ChainRun.id)
        .limit(1)
        .with_for_update(of=ChainRun)
    )
    if run is None or not transition(session, run, RunState.RUNNING):
        return None
    new_dispatch(run)
    return run


def has_drive(session: Session, drive: str) -> bool:
    """Whether a run has this drive."""
    running = select(ChainRun.id).where(ChainRun.drive == drive, ChainRun.state == RunState.RUNNING)
    return session.scalar(running) is not None


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
    _add_steps(session, run)
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


MAY_RETRY = frozenset({RunState.FAILED, RunState.HELD})
"""A held run checks its sources once more."""


def retry(
    session: Session,
    run_id: int,
    from_step: Step | None,
    requested_by: str,
    why: str | None,
    *,
    instead: Mapping[str, str] | None = None,
) -> ChainRun:
    """Queue a failed run again, from its failed step or from an earlier one.

    ``instead``: changed options of a restore. Raises NotFound, NotAllowed.
    """
    run = get(session, run_id, lock=True)
    if run.state not in MAY_RETRY:
        raise only_failed(run)
    if instead:
        if run.kind is not Kind.RESTORE:
            raise NotAllowed(
                M("Run {id} is no restore: it takes no --identity and no --to.", id=run.id),
                M("Retry it without: tapeline runs retry {id}", id=run.id),
            )
        run.options = {**run.options, **instead}
    failed = first_open_step(session, run)
    steps = STEPS[run.kind]
    failed_step = failed.step if failed else steps[-1]
    step = from_step or failed_step
    if step not in steps or steps.index(step) > steps.index(failed_step):
        raise NotAllowed(
            M(
                "Run {id} failed at '{failed}' and cannot go on from '{step}'.",
                id=run.id,
                failed=failed_step.value,
                step=step.value,
            ),
            M("Name '{failed}' or an earlier step.", failed=failed_step.value),
        )
    _refuse_second_active(session, run)
    reopen(session, run, step)
    reason = M("retry from {step} by {who}", step=step.value, who=requested_by)
    if why:
        reason = M("retry from {step} by {who}: {why}", step=step.value, who=requested_by, why=why)
    run.cancel_requested_at = None
    run.dismissed_at = None
    run.home = func.database_home()
    run.recoveries = 0
    run.resumed = None
    run.tape_failed = None
    run.wait_until = None
    run.queued_at = now()
    if not transition(session, run, RunState.QUEUED, reason):
        raise NotAllowed(M("Run {id} was changed by somebody else just now.", id=run.id))
    return run


def only_failed(run: ChainRun) -> NotAllowed:
    """The answer to a retry of a run that has not failed."""
    return NotAllowed(
        M("Run {id} is {state}; only a FAILED run can be retried.", id=run.id, state=run.state.value),
        M("'tapeline runs show {id}' tells its story.", id=run.id),
    )


def _refuse_second_active(session: Session, run: ChainRun) -> None:
    if run.schedule_id is None:
        return
    active = session.scalar(
        select(ChainRun.id).where(
            ChainRun.schedule_id == run.schedule_id, ChainRun.state.in_(ACTIVE), ChainRun.id != run.id
        )
    )
    if active:
        raise NotAllowed(
            _active(run.schedule.name if run.schedule else "", active),
            M("Wait for it or cancel it: tapeline runs cancel {run}", run=active),
        )


def cancel(session: Session, run_id: int, requested_by: str) -> ChainRun:
    """Cancel a run at once if no step of it runs, else ask its step to stop at the next safe point.

    Raises NotFound, NotAllowed (it has ended).
    """
    run = get_active(session, run_id, lock=True)
    reason = M("Cancelled by {who}.", who=requested_by)
    step_running = session.scalar(
        select(ChainStep.step).where(ChainStep.run_id == run.id, ChainStep.state == StepState.RUNNING)
    )
    if step_running is None:
        run.cancelled_by = requested_by
        transition(session, run, RunState.CANCELLED, reason)
    elif run.cancel_requested_at is None:
        run.cancel_requested_at, run.cancelled_by = now(), requested_by
        events.record(session, run, M("Asked to stop at the next safe point by {who}.", who=requested_by))
    return run
