"""The one function that changes the state of a run, and what follows from it in the same transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db import events
from db.errors import NotAllowed, NotFound
from db.models import BackupSet, BackupTask, ChainRun, ScheduledTask, now
from db.runs import announcing
from db.states import (
    ENDED,
    TRANSITIONS,
    WRITING,
    BackupType,
    Kind,
    RecordState,
    RunState,
)
from db.tapes import permits
from policy.message import M, Message
from policy.tapes.facts import SetState


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
        announcing.announce(session, run, "started", None)
    return True


def _idle(run: ChainRun, before: RunState, to: RunState, moment: datetime) -> dict[str, Any]:
    """Accounts for the time in which a run does not work."""
    if to is RunState.RUNNING:
        past = (moment - run.idle_since).total_seconds() if run.idle_since else 0.0
        return {"idle_since": None, "idle_seconds": run.idle_seconds + past}
    return {"idle_since": moment} if before is RunState.RUNNING else {}


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
    if run.state in ENDED and run.kind in WRITING:
        permits.doubt_unread(session, run)
    if run.state in events.ENDINGS:
        announcing.announce_state(session, run, reason, remedy)


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
    made = stored.type if stored else run.options.type or schedule.template.type
    return made in {BackupType.FULL, schedule.template.type}
