"""The window of a schedule: its runs begin when it opens, and pause when it closes.

A pause is no state of its own: the run is QUEUED again, which is the truth. It has given back its drive, no
tape is kept for it, nobody has to act, and it goes on by itself; ``opens_at`` and its reason name the moment.
What a person starts or retries is not bound by it, and neither is a restore: only automatic backups are.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import events
from db.models import ChainRun, ScheduledTask, now
from db.runs import lookup, transitions
from db.states import ACTIVE, Kind, RunState, Trigger
from policy.errors import UsageError
from policy.message import M
from policy.times import window
from policy.times.window import Window


def of(run: ChainRun) -> Window | None:
    """The window that a run is bound by; None: it may work at any time."""
    schedule = run.schedule
    if run.kind is not Kind.BACKUP or schedule is None:
        return None
    if run.trigger is not Trigger.SCHEDULE or run.notes.at_once:
        return None
    return of_schedule(schedule)


def of_schedule(schedule: ScheduledTask) -> Window | None:
    """The window of its automatic runs; None: they may work at any time."""
    if schedule.backup_window is None:
        return None
    try:
        return window.of(schedule.backup_window, schedule.time_zone)
    except UsageError:
        # A row that was edited by hand: ``planner.problem_of`` names it, and the backup is not lost for it.
        return None


def put_off(session: Session, run: ChainRun) -> bool:
    """Whether a queued run has to wait for its window, which its row and its story then name. If not, its row
    names when the window closes."""
    bound, moment = of(run), now()
    if bound is None or bound.is_open(moment):
        run.opens_at = None
        run.closes_at = bound.closing(moment) if bound else None
        return False
    run.opens_at, run.closes_at = bound.opening(moment), None
    reason = M("It waits until its window {window} opens, at {at}.", **_facts(run, bound))
    if run.reason != reason.to_json():
        run.reason = reason.to_json()
        events.record(session, run, reason)
    return True


def pause(session: Session, run: ChainRun) -> None:
    """The window of a running run has closed: it gives its drive back until the window opens. The set goes on
    where it was sealed; a library brings its tape again. The caller opens its steps again."""
    bound, moment = of(run), now()
    run.opens_at = bound.opening(moment) if bound else moment
    run.closes_at = run.wait_until = run.tape_failed = None
    run.fetched = []
    run.queued_at = moment
    reason = M("Paused: its window has closed. It goes on at once.")
    if bound is not None:
        reason = M("Paused: its window {window} has closed. It goes on at {at}.", **_facts(run, bound))
    transitions.transition(session, run, RunState.QUEUED, reason)


def _facts(run: ChainRun, bound: Window) -> dict[str, str]:
    assert run.schedule is not None, "it has a window"
    assert run.opens_at is not None, "it waits"
    at = f"{run.opens_at.astimezone(bound.zone):%Y-%m-%d %H:%M} ({run.schedule.time_zone})"
    return {"window": run.schedule.backup_window or "", "at": at}


def lock_active(session: Session, names: Collection[str]) -> None:
    """Lock the runs of some schedules that have not ended, before the schedules are: as everywhere."""
    if names:
        named = select(ScheduledTask.id).where(ScheduledTask.name.in_(names))
        active = select(ChainRun.id).where(ChainRun.schedule_id.in_(named), ChainRun.state.in_(ACTIVE))
        session.execute(active.order_by(ChainRun.id).with_for_update())


def follow(session: Session, schedule: ScheduledTask) -> None:
    """A schedule was edited: its window applies as it is now to its run that waits or works."""
    number = lookup.active_of(session, schedule.id)
    run = transitions.get(session, number, lock=True) if number is not None else None
    if run is None:
        return
    if run.state is RunState.QUEUED:
        waited = run.opens_at is not None
        if not put_off(session, run) and waited:
            run.reason = None
    elif run.state is RunState.RUNNING:
        bound, moment = of(run), now()
        run.closes_at = None
        if bound is not None:
            run.closes_at = bound.closing(moment) if bound.is_open(moment) else moment
