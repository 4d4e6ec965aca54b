"""Puts a run aside: until its window opens, a person has accepted its sources, or the right tape is in."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session

from db import doubts, events
from db.models import ChainRun, now
from db.runs import admission, steps, transitions, windows
from db.states import RunState, Step, StepState
from db.tapes import mount_backoff
from policy.errors import TapelineError
from policy.message import M
from tape.errors import NotMountable, WriteProtected
from tasks.work import SourcesDoubted, Work

NEXT_TAPE_SECONDS = 24 * 3600
"""How long a run that spans tapes waits for the next one if its schedule has no ``wait_for_tape``."""


def pause(work: Work) -> RunState:
    """Queue the run again until its window opens, unless an operator has cancelled it. Returns its new
    state."""

    def queue_again(session: Session, run: ChainRun) -> RunState:
        if run.cancel_requested_at:
            steps.give_back(session, work.held)
            transitions.transition(session, run, RunState.CANCELLED, M("Cancelled before it paused."))
        else:
            admission.reopen(session, run, Step.PRECHECK)
            windows.pause(session, run)
        return run.state

    return work.db(queue_again)


def hold(work: Work, error: SourcesDoubted) -> RunState:
    """Hold the run until a person has accepted its sources, unless an operator has cancelled it. Returns its
    new state."""

    def give_back(session: Session, run: ChainRun) -> RunState:
        if run.cancel_requested_at:
            steps.finish(session, work.held, StepState.FAILED, error=error)
            transitions.transition(session, run, RunState.CANCELLED, M("Cancelled before it was held."))
        else:
            patience = timedelta(seconds=work.settings.held_fails_after_seconds)
            doubts.hold(session, run, error.doubts, patience, step=work.held.step)
        return run.state

    return work.db(give_back)


def wait(work: Work, error: TapelineError) -> RunState | None:
    """Put the run to WAITING_FOR_TAPE if its schedule has a ``wait_for_tape`` that is not used up.

    A cancelled run waits for nothing. Returns the run's new state; None: it must fail.
    """

    def give_back(session: Session, run: ChainRun) -> RunState | None:
        if run.cancel_requested_at:
            steps.finish(session, work.held, StepState.FAILED, error=error)
            transitions.transition(
                session, run, RunState.CANCELLED, M("cancelled before it waited for a tape")
            )
            return run.state
        seconds = run.schedule.wait_for_tape_seconds if run.schedule else None
        if run.part > 1 or run.notes.next_tape:
            # A run that has begun needs its next tape, regardless of the schedule's rule for a wrong first
            # one.
            seconds = seconds or NEXT_TAPE_SECONDS
        if not seconds:
            return None
        run.wait_until = run.wait_until or now() + timedelta(seconds=seconds)
        if run.wait_until <= now():
            return None
        admission.reopen(session, run, Step.PRECHECK)
        transitions.transition(session, run, RunState.WAITING_FOR_TAPE, error.message, error.remedy)
        if isinstance(error, NotMountable | WriteProtected):
            _leave_alone(session, run, work.held.step)
        return run.state

    return work.db(give_back)


def _leave_alone(session: Session, run: ChainRun, step: Step) -> None:
    """The drive could not use the tape, regardless of the rules' decision about it."""
    minutes = round((mount_backoff.failed(session, run) - now()) / timedelta(minutes=1))
    message = M(
        "This tape is tried again in {minutes} min; another one, or this one put in anew, at once.",
        minutes=minutes,
    )
    events.record(session, run, message, step=step)
