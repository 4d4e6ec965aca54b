"""A running run without progress: who gets a message when, and when it is given up.

A heartbeat proves that a process lives. Whether the run makes progress is another question
(``ChainRun.moved_at``): a step that waits for a file server, a drive or a chip lives as well.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from celery_app import settings
from db import events
from db.models import ChainRun, ChainStep, now
from db.runs import admission, announcing, steps, transitions
from db.states import AT_THE_DRIVE, RunState
from db.tapes import drives
from notify.events import Event
from policy.message import M, Message

CANCEL_TIMEOUT = 120.0
"""Seconds that a stalled step has to obey an operator who cancels it."""


def attend(session: Session, run: ChainRun, working: ChainStep | None) -> bool:
    """Announce that a run is stalled, or end it. The caller must have the run's row locked.

    ``working``: the step that a worker has claimed, or None. Returns whether something was announced.
    """
    if working is not None and _disobeys(run):
        _give_up(session, run, working, RunState.CANCELLED)
        return True
    if working is not None and _quiet(run) > _seconds("stalled_fails_after_seconds"):
        _give_up(session, run, working, RunState.FAILED)
        return True
    stall = _unattended(session, run) if working is None else None
    if stall is None and _quiet(run) > _seconds("stalled_after_seconds"):
        stall = _still(run, working)
    if stall is None or _is_said(session, run):
        return False
    reason, remedy = stall
    events.record(session, run, reason, step=working.step if working else None, level="warning")
    announcing.announce(session, run, Event.STALLED, reason, remedy)
    return True


def _seconds(setting: str) -> timedelta:
    return timedelta(seconds=getattr(settings.load(), setting))


def moved(run: ChainRun) -> datetime:
    """When a run last made progress."""
    return run.moved_at or run.dispatched_at or run.created_at


def _quiet(run: ChainRun) -> timedelta:
    return now() - moved(run)


def _disobeys(run: ChainRun) -> bool:
    if run.cancel_requested_at is None:
        return False
    patience = min(_seconds("stalled_after_seconds"), timedelta(seconds=CANCEL_TIMEOUT))
    return now() - max(run.cancel_requested_at, moved(run)) > patience


def _is_said(session: Session, run: ChainRun) -> bool:
    last = events.last_announced(session, run, Event.STALLED)
    return last is not None and last >= moved(run) and now() - last < _seconds("reminder_seconds")


def _unattended(session: Session, run: ChainRun) -> tuple[Message, Message] | None:
    """The next step needs the drive, and no worker of it lives."""
    opened = admission.first_open_step(session, run)
    if opened is None or opened.step not in AT_THE_DRIVE or drives.is_alive(session, run.drive):
        return None
    if drives.registered_at(session, run.drive) is None:
        if _quiet(run) <= _seconds("lost_after_seconds"):
            # It may be starting at this moment, for the first time.
            return None
        return (
            M("Run {run} has drive {drive}, which never had a worker.", run=run.id, drive=run.drive),
            M("Start it on the drive's host: tapeline worker --drive {drive}", drive=run.drive),
        )
    return (
        M("Run {run} has drive {drive}, and its worker is not running.", run=run.id, drive=run.drive),
        M("Start the worker of drive {drive} on its host: the run goes on by itself.", drive=run.drive),
    )


def _still(run: ChainRun, working: ChainStep | None) -> tuple[Message, Message]:
    since = moved(run).astimezone(settings.load().zone)
    at = f"{since:%Y-%m-%d %H:%M}"
    if working is None:
        return (
            M("Run {run} has come no further since {at}: no worker takes its next step.", run=run.id, at=at),
            M("See what the worker of drive {drive} does: tapeline health", drive=run.drive),
        )
    waits_for = (run.progress or {}).get("waits_for")
    if waits_for:
        return (
            M(
                "Run {run} has come no further since {at}: it waits for {path}, which does not answer.",
                run=run.id,
                at=at,
                path=waits_for,
            ),
            M("See that the file system or share answers, or cancel: tapeline runs cancel {run}", run=run.id),
        )
    return (
        M(
            "Run {run} has come no further since {at}, in step {step} on {worker}.",
            run=run.id,
            at=at,
            step=working.step.value,
            worker=working.worker or "?",
        ),
        M("See what the drive and its host do, or cancel: tapeline runs cancel {run}", run=run.id),
    )


def _give_up(session: Session, run: ChainRun, working: ChainStep, to: RunState) -> None:
    """End the run without its step; if the step ever continues, it finds that it has lost its claim."""
    reason, remedy = _still(run, working)
    steps.fail_dead(session, working)
    if to is RunState.CANCELLED:
        reason = M("Cancelled without its step, which did not answer. {reason}", reason=reason.to_json())
        transitions.transition(session, run, to, reason)
    else:
        reason = M("{reason} It was given up; what is sealed counts.", reason=reason.to_json())
        remedy = M("See what did not answer, then: tapeline runs retry {run}", run=run.id)
        transitions.transition(session, run, to, reason, remedy)
