"""A schedule that follows another one: its run waits until that one's run of the period has succeeded.

It waits in the queue, as a run of its due time. If what it follows fails, or has not succeeded when its own
``grace`` is over, it is missed, as any run that nothing could start in time.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import events
from db.models import ChainRun, ScheduledTask, now
from db.runs import transitions, windows
from db.states import RunState
from policy.errors import UsageError
from policy.message import M, Message
from policy.schedule import when
from policy.times import following

_WITHOUT_SUCCESS = (RunState.FAILED, RunState.CANCELLED, RunState.SKIPPED)


def why_never(session: Session, schedule: ScheduledTask, due_at: datetime) -> Message | None:
    """Why a run that is due then cannot be started any more; None: it can, or it waits for another one."""
    if schedule.run_after is None or is_free(session, schedule, due_at):
        return None
    first = _first(session, schedule.run_after)
    if first is None:
        return M("It follows schedule '{first}', which does not exist any more.", first=schedule.run_after)
    newest = session.scalar(
        select(ChainRun)
        .where(
            ChainRun.schedule_id == first.id,
            (ChainRun.state != RunState.SKIPPED) | ChainRun.is_missed,
        )
        .order_by(ChainRun.id.desc())
        .limit(1)
    )
    if (
        newest is None
        or newest.state not in _WITHOUT_SUCCESS
        or not _is_followed(first, due_at, newest.due_at)
    ):
        return None
    if newest.is_missed:
        return M(
            "It follows schedule '{first}', whose run {run} was missed.", first=first.name, run=newest.id
        )
    return M(
        "It follows schedule '{first}', whose run {run} is {state}.",
        first=first.name,
        run=newest.id,
        state=newest.state.value,
    )


def is_free(session: Session, schedule: ScheduledTask, due_at: datetime) -> bool:
    """Whether a run that is due then has nothing to wait for."""
    if schedule.run_after is None:
        return True
    first = _first(session, schedule.run_after)
    success = first.last_success_time if first is not None else None
    return first is not None and success is not None and _is_followed(first, due_at, success)


def _first(session: Session, name: str) -> ScheduledTask | None:
    return session.scalar(
        select(ScheduledTask).where(ScheduledTask.name == name, ScheduledTask.archived_at.is_(None))
    )


def _is_followed(first: ScheduledTask, moment: datetime, due: datetime) -> bool:
    """A schedule whose row cannot be understood has no period."""
    try:
        return following.is_of_its_period(
            first.schedule_type,
            when.rule(first.schedule_type, first.schedule_config, first.time_zone),
            first.time_zone,
            since=first.created_at,
            moment=moment,
            due=due,
        )
    except UsageError:
        return False


def put_off(session: Session, run: ChainRun, schedule: ScheduledTask) -> None:
    """Let an automatic run that was just queued wait for what it follows, and then for its window."""
    if is_free(session, schedule, run.due_at):
        windows.put_off(session, run)
        return
    run.awaits = schedule.run_after
    reason = M("It waits until schedule '{first}' has succeeded.", first=schedule.run_after)
    run.reason = reason.to_json()
    events.record(session, run, reason)


def settle(session: Session) -> list[ChainRun]:
    """Decide about the runs that wait for another schedule; returns those that are missed."""
    waiting = select(ChainRun).where(
        ChainRun.state == RunState.QUEUED, ChainRun.awaits.is_not(None), ~ChainRun.is_held
    )
    rows = session.scalars(waiting.order_by(ChainRun.id).with_for_update(of=ChainRun, skip_locked=True)).all()
    return [run for run in rows if run.schedule is not None and _decide(session, run, run.schedule)]


def _decide(session: Session, run: ChainRun, schedule: ScheduledTask) -> bool:
    """Whether the run is missed."""
    if is_free(session, schedule, run.due_at):
        events.record(session, run, M("Schedule '{first}' has succeeded.", first=run.awaits))
        run.awaits = run.reason = None
        windows.put_off(session, run)
        return False
    reason = why_never(session, schedule, run.due_at)
    if reason is None and now() - run.due_at > timedelta(seconds=schedule.grace_seconds):
        reason = M("It follows schedule '{first}', which has not succeeded in time.", first=run.awaits)
    if reason is None:
        return False
    run.is_missed, run.awaits = True, None
    return transitions.transition(session, run, RunState.SKIPPED, reason, remedy_of_missed(schedule))


def remedy_of_missed(schedule: ScheduledTask) -> Message:
    """What somebody can do about a missed run."""
    return M("If it is still wanted, run it now: tapeline schedule run {name}", name=schedule.name)
