"""``tapeline.recover``: finds runs whose step has died or whose message was lost, and resumes or fails them.

Every minute from beat, at each start of a tape worker, and from a chain's error callback.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import structlog
from sqlalchemy.orm import Session

from celery_app import settings, wiring
from celery_app.celery import app
from db import doubts, events, leaps
from db.admin import holds, server
from db.models import ChainRun, ChainStep, now
from db.runs import (
    admission,
    announcing,
    brackets,
    followers,
    lookup,
    recoveries,
    spools,
    steps,
    transitions,
)
from db.runs.lookup import RunFilter
from db.runs.steps import Claim
from db.states import AT_THE_DRIVE, RunState, Step
from db.tapes import drives
from policy.message import M, Message
from tasks import chain, standstill
from tasks.periodic import poll_waiting

log = structlog.get_logger("tapeline.recover")

K = TypeVar("K")


@app.task(name="tapeline.recover", acks_late=False, ignore_result=True)
def recover() -> list[int]:
    """Check every running run; returns the runs that were sent again."""
    database = wiring.database()
    with database.transaction() as session:
        leaps.note(session, now())
        holds.hold_back(session)
    with database.transaction() as session:
        missed = [run.id for run in followers.settle(session)]
    with database.transaction() as session:
        running = _in_state(session, RunState.RUNNING)
        queued = lookup.queued_for(session)
        waiting = _in_state(session, RunState.WAITING_FOR_TAPE)
        held = _in_state(session, RunState.HELD)
        owing = _owing(session)
    resumed = [run_id for run_id in running if _each(_look_after, run_id)]
    for run_id in missed:
        chain.ask("tapeline.deliver", run_id=run_id)
    for run_id in waiting:
        _each(_look_after_waiting, run_id)
    for run_id in held:
        _each(_look_after_held, run_id)
    for drive in owing:
        _each(chain.ask_for_after, drive)
    for drive in queued:
        _each(chain.release, drive)
    return resumed


def _in_state(session: Session, state: RunState) -> list[int]:
    return lookup.ids(session, RunFilter(states=[state]))


def _owing(session: Session) -> set[str]:
    """The drives whose worker lives, is free, and owes commands, or files to remove: a message got lost, or a
    worker died."""
    owed = {drive for _, drive in brackets.owed(session) + spools.left(session)}
    return {
        drive for drive in owed if drives.is_alive(session, drive) and drives.running(session, drive) is None
    }


def _each(attend: Callable[[K], object], one: K) -> object:
    """If one cannot be checked, the others still are."""
    try:
        return attend(one)
    except Exception:
        log.exception("this one could not be looked after; the next look comes", about=one)
        return None


def after_a_death(run_id: int, dispatch: int, task_id: str) -> None:
    """A chain's error callback: a step that still counts as running lost its process.

    It names the message of the step that died; one that is late or forged names another.
    """
    with wiring.database().transaction() as session:
        run = transitions.get(session, run_id, lock=True)
        step = steps.running(session, run)
        if run.state is not RunState.RUNNING or run.dispatch != dispatch or step is None:
            return
        if task_id != chain.message_id(run, step.step):
            return
        log.warning("the process of a step died", task=task_id)
        resume_at = _resume(session, run, step, _died(step))
    _send(run, resume_at)


def gave_up(held: Claim, reason: Message) -> None:
    """A step that is still claimed could not continue: it is resumed at once. If another worker has taken it
    over, it is left there; the story records the reason in any case. Raises DatabaseUnavailable."""
    with wiring.database().transaction() as session:
        run = transitions.get(session, held.run_id, lock=True)
        working = steps.running(session, run)
        if run.state is RunState.RUNNING and working is not None and _is_held(working, held):
            resume_at = _resume(session, run, working, reason)
        else:
            events.record(session, run, reason, step=held.step, level="warning")
            return
    _send(run, resume_at)


def _is_held(working: ChainStep, held: Claim) -> bool:
    return (working.step, working.part, working.attempts) == (held.step, held.part, held.attempt)


def adopt(run_id: int) -> None:
    """All processes that could work on this run have just been restarted: send it again from its present
    step."""
    with wiring.database().transaction() as session:
        run = transitions.get(session, run_id, lock=True)
        holds.hold_back(session, run.drive)
        resume_at = _taken_over(session, run) if run.state is RunState.RUNNING else None
    if run.state is RunState.RUNNING:
        _send(run, resume_at)
    else:
        chain.release(run.drive)


def _taken_over(session: Session, run: ChainRun) -> Step | None:
    step = steps.running(session, run)
    if step is not None:
        return _resume(session, run, step, _died(step))
    opened = admission.first_open_step(session, run)
    admission.new_dispatch(run)
    return opened.step if opened else None


def _look_after(run_id: int) -> bool:
    with wiring.database().transaction() as session:
        run = transitions.get_unless_locked(session, run_id)
        if run is None or run.state is not RunState.RUNNING:
            return False
        step = steps.running(session, run)
        dead = _why_dead(session, run, step) if step is not None else None
        if step is None:
            resume_at = _send_again(session, run)
        else:
            resume_at = _resume(session, run, step, dead) if dead else None
        working = None if dead else step
        is_attended = run.state is RunState.RUNNING and standstill.attend(session, run, working)
    if is_attended:
        chain.ask("tapeline.deliver", run_id=run.id)
    return _send(run, resume_at)


def _send(run: ChainRun, resume_at: Step | None) -> bool:
    if run.state is not RunState.RUNNING:
        chain.ask("tapeline.deliver", run_id=run.id)
        chain.release(run.drive)
        return False
    return resume_at is not None and chain.send(run, resume_at)


def _why_dead(session: Session, run: ChainRun, step: ChainStep) -> Message | None:
    """Silent for too long while the database was up; or begun before the drive's worker was."""
    registered = drives.registered_at(session, run.drive)
    if step.step in AT_THE_DRIVE and registered and step.started_at and step.started_at < registered:
        return _died(step)
    limit = timedelta(seconds=settings.load().dead_after_seconds)
    database_up = now() - server.started_at(session)
    if database_up > limit and steps.is_dead(step, limit):
        return M(
            "Step {step} has given no sign of life for {seconds} s ({worker}).",
            step=step.step.value,
            seconds=round(limit.total_seconds()),
            worker=step.worker or "?",
        )
    return None


def _died(step: ChainStep) -> Message:
    return M("The worker of step {step} died ({worker}).", step=step.step.value, worker=step.worker or "?")


def _resume(session: Session, run: ChainRun, step: ChainStep, reason: Message) -> Step | None:
    """Send the run again from the step that ended, or end it; every step is safe to enter again."""
    events.record(session, run, reason, step=step.step, level="warning")
    if run.cancel_requested_at:
        transitions.transition(session, run, RunState.CANCELLED, M("Cancelled; its worker had died."))
        return None
    given_up = recoveries.count(run, step, reason)
    if given_up is not None:
        steps.fail_dead(session, step)
        remedy = M("See in its worker's log what ends it, then: tapeline runs retry {run}", run=run.id)
        transitions.transition(session, run, RunState.FAILED, given_up, remedy)
        return None
    admission.reopen(session, run, step.step)
    admission.new_dispatch(run)
    events.record(session, run, M("Resumed from {step}.", step=step.step.value), step=step.step)
    return step.step


def _send_again(session: Session, run: ChainRun) -> Step | None:
    """No step is running: the run was handed over, or its message was lost, or it has just been sent."""
    step = admission.first_open_step(session, run)
    if step is None:
        return None
    handed_over = _was_handed_over(session, run, step)
    if not handed_over and not _is_overdue(session, run):
        return None
    if run.cancel_requested_at:
        transitions.transition(session, run, RunState.CANCELLED, M("Cancelled before its next step."))
        return None
    if step.step in AT_THE_DRIVE and not drives.is_alive(session, run.drive):
        return None
    admission.new_dispatch(run)
    if handed_over:
        message, level = M("Goes on with {step} on the new worker.", step=step.step.value), "info"
    else:
        message, level = (
            M("No worker has taken the message for {step}; it is sent again.", step=step.step.value),
            "warning",
        )
    # If a worker hangs, it is sent again each minute: that is one line of the story.
    if handed_over or not events.is_told(session, run, message, since=standstill.moved(run)):
        events.record(session, run, message, step=step.step, level=level)
    return step.step


def _was_handed_over(session: Session, run: ChainRun, step: ChainStep) -> bool:
    """A worker that was asked to stop gave this step back, and the drive has a new worker since."""
    registered = drives.registered_at(session, run.drive)
    return bool(
        step.attempts
        and step.step in AT_THE_DRIVE
        and registered
        and run.dispatched_at
        and run.dispatched_at < registered
    )


def _is_overdue(session: Session, run: ChainRun) -> bool:
    moments = (steps.last_end(session, run), run.dispatched_at, run.created_at)
    last = max(moment for moment in moments if moment)
    return now() - last > timedelta(seconds=settings.load().lost_after_seconds)


def _remind(session: Session, run: ChainRun, event: str, remedy: Message | None = None) -> None:
    last = events.last_announced(session, run, event)
    if last and now() - last >= timedelta(seconds=settings.load().reminder_seconds):
        reason = Message.from_json(run.reason) if run.reason else None
        announcing.announce(session, run, event, reason, remedy)


def _look_after_held(run_id: int) -> None:
    """Fail a run whose sources nobody has accepted in time; else send a reminder."""
    with wiring.database().transaction() as session:
        run = transitions.get_unless_locked(session, run_id)
        if run is None or run.state is not RunState.HELD or run.is_held:
            return
        if run.wait_until is not None and run.wait_until <= now():
            doubts.expire(session, run)
        else:
            _remind(session, run, "held", doubts.remedy(run))
    chain.ask("tapeline.deliver", run_id=run_id)


def _look_after_waiting(run_id: int) -> None:
    """Fail a run whose time is over; else have the drive inspected."""
    with wiring.database().transaction() as session:
        run = transitions.get_unless_locked(session, run_id)
        if run is None or run.state is not RunState.WAITING_FOR_TAPE or run.is_held:
            return
        is_over = run.wait_until is not None and run.wait_until <= now()
        if is_over:
            transitions.transition(
                session,
                run,
                RunState.FAILED,
                M("The right tape did not come in time."),
                M("With the right tape in the drive: tapeline runs retry {run}", run=run.id),
            )
        else:
            _remind(session, run, "waiting_for_tape")
        asks = not is_over and _may_ask_to_look(session, run)
        if asks:
            run.look_asked_at = now()
    chain.ask("tapeline.deliver", run_id=run_id)
    if asks:
        queue = chain.queue_of(run.drive)
        chain.ask("tapeline.look", queue=queue, run_id=run_id)


def _may_ask_to_look(session: Session, run: ChainRun) -> bool:
    """Not while a question is on its way, nor if it would have to wait: behind a run that has the drive, or
    for a dead worker. It is asked when an answer can be expected."""
    return (
        not poll_waiting.is_on_its_way(run)
        and drives.is_alive(session, run.drive)
        and drives.running(session, run.drive) is None
    )
