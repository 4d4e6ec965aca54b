"""Due runs: planned, decided and caught up from the database only, so that any number of beats agree."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from heapq import merge
from itertools import islice
from typing import Any

from sqlalchemy import Row, func, or_, select
from sqlalchemy.orm import Session

from db import events
from db.models import ChainRun, ScheduledTask
from db.runs import precedence, starting
from db.schedules import plans
from db.states import RunState, Trigger
from policy.errors import UsageError
from policy.message import M, Message
from policy.schedule import rate, when
from policy.tapes.facts import TapePolicy
from policy.times import period, window
from policy.times.local_time import zone_named
from policy.times.period import ScheduleType
from policy.times.recurrence import (
    COUNTED,
    Overdue,
    Recurrence,
    occurrences,
    overdue,
)

PUNCTUAL = timedelta(seconds=60)
"""A run that starts within this time after it was due does not count as late."""


def rule_of(schedule: ScheduledTask) -> Recurrence:
    """When a schedule fires. Raises UsageError that names the field of ``schedule_config``."""
    return _rule(schedule.schedule_type, json.dumps(schedule.schedule_config), schedule.time_zone)


# Beat asks for every rule every two seconds.
@lru_cache(maxsize=16_384)
def _rule(schedule_type: ScheduleType, config: str, time_zone: str) -> Recurrence:
    return when.rule(schedule_type, json.loads(config), time_zone, where="schedule_config")


def problem_of(schedule: ScheduledTask) -> Message | None:
    """Why a schedule cannot fire, after any edit of its row; None if it can."""
    if schedule.is_held and schedule.enabled:
        return M(
            "It is held since the database was restored. Release it:"
            " tapeline database release --schedule {schedule}",
            schedule=schedule.name,
        )
    try:
        rule_of(schedule)
        TapePolicy.parse(schedule.tape_policy)
        if schedule.backup_window is not None:
            window.of(schedule.backup_window, schedule.time_zone)
        if schedule.rate is not None:
            rate.of(schedule.rate, schedule.time_zone)
    except UsageError as error:
        return error.in_one()
    return None


def plan(schedule: ScheduledTask, moment: datetime, since: datetime | None = None) -> None:
    """Compute ``next_run_time`` as of ``moment``, or record why that is impossible. ``since``: the last time
    at which it was due, if that is known."""
    problem = problem_of(schedule)
    schedule.planned_from = _fingerprint(schedule)
    schedule.plan_error = problem.to_json() if problem and not schedule.is_held else None
    fires = problem is None and schedule.enabled and schedule.archived_at is None
    schedule.next_run_time = rule_of(schedule).after(moment) if fires else None
    schedule.planned_after = since or moment


def planned_time(schedule: ScheduledTask | Row[Any]) -> datetime | None:
    """When a schedule fires next, as planned; None if it is switched off, even if beat is not
    running and has not cleared the planned time."""
    is_on = schedule.enabled and schedule.archived_at is None and not schedule.is_held
    return schedule.next_run_time if is_on else None


def replan(schedule: ScheduledTask, moment: datetime) -> None:
    """Plan a schedule that was just edited, so that its next time can be shown; otherwise beat would do it.

    A due schedule is left to beat, which reports what was missed.
    """
    if _is_edited(schedule) and not _is_due(schedule, moment):
        plan(schedule, moment)


def _fingerprint(schedule: ScheduledTask) -> str:
    return json.dumps(
        [
            schedule.schedule_type.value,
            schedule.schedule_config,
            schedule.time_zone,
            schedule.tape_policy,
            schedule.enabled and schedule.archived_at is None,
        ],
        sort_keys=True,
    )


def needing_attention(session: Session, moment: datetime) -> list[int]:
    """The schedules that are due, were edited, or whose plan no longer fits the clock; none that is held."""
    overdue = due(session, moment)
    return [*overdue, *(number for number in plans.edited(session) if number not in overdue)]


def due(session: Session, moment: datetime) -> list[int]:
    """The schedules that are due, or planned for a later time than their rule's next one; none that is held.
    Indexes find them."""
    # If the clock has not gone back since it was planned, the plan is right.
    may_be_late = ScheduledTask.next_run_time.is_not(None) & (
        ScheduledTask.planned_after.is_(None) | (ScheduledTask.planned_after > moment)
    )
    is_due = or_(ScheduledTask.next_run_time <= moment, may_be_late)
    free = select(ScheduledTask).join(ScheduledTask.template).where(~ScheduledTask.is_held, is_due)
    order = (ScheduledTask.next_run_time, *precedence.of_schedules(), ScheduledTask.id)
    rows = session.scalars(free.order_by(*order))
    return [row.id for row in rows if _is_due(row, moment) or _is_planned_late(row, moment)]


def _is_edited(schedule: ScheduledTask) -> bool:
    return schedule.planned_from != _fingerprint(schedule)


def _is_due(schedule: ScheduledTask, moment: datetime) -> bool:
    return schedule.next_run_time is not None and schedule.next_run_time <= moment


def _is_planned_late(schedule: ScheduledTask, moment: datetime) -> bool:
    """Something is due before the planned time: the clock was ahead when it was planned."""
    if schedule.next_run_time is None or problem_of(schedule) is not None:
        return False
    following = rule_of(schedule).after(moment)
    return following is not None and moment + PUNCTUAL < following < schedule.next_run_time


def owed_since(
    schedule: ScheduledTask, moment: datetime, given_up: datetime | None = None
) -> datetime | None:
    """When the oldest run of a schedule was due whose period has no success yet; None if all have theirs.
    What was due up to ``given_up`` does not count.

    A schedule that is disabled or cannot be planned owes nothing.
    """
    if not schedule.enabled or schedule.archived_at is not None or problem_of(schedule) is not None:
        return None
    settled = [each for each in (schedule.last_success_time, given_up) if each is not None]
    success = max(settled, default=None)
    for due in occurrences(rule_of(schedule), success or schedule.created_at):
        if due > moment:
            break
        if not period.is_done(schedule.schedule_type, due, success, schedule.time_zone):
            return due
    return None


def next_time(session: Session, after: datetime) -> datetime | None:
    """When the next schedule is due after a moment, as planned."""
    return session.scalar(
        select(func.min(ScheduledTask.next_run_time)).where(ScheduledTask.next_run_time > after)
    )


def coming(session: Session, moment: datetime, drive: str | None = None) -> list[ScheduledTask]:
    """The schedules, or those of a drive, that are on and planned for later than a moment."""
    is_on = ScheduledTask.enabled & ~ScheduledTask.is_held & (ScheduledTask.next_run_time > moment)
    rows = select(ScheduledTask).where(is_on)
    return list(session.scalars(rows if drive is None else rows.where(ScheduledTask.drive == drive)))


def next_on(session: Session, drive: str) -> ScheduledTask | None:
    """The schedule that needs a drive next, as planned."""
    return session.scalar(
        select(ScheduledTask)
        .where(ScheduledTask.drive == drive, ScheduledTask.next_run_time.is_not(None))
        .order_by(ScheduledTask.next_run_time)
        .limit(1)
    )


def upcoming(
    schedules: list[ScheduledTask], moment: datetime, count: int
) -> list[tuple[datetime, ScheduledTask]]:
    """The next ``count`` moments after ``moment`` at which any of these schedules fires."""
    return list(islice(ahead(schedules, moment), count))


def ahead(schedules: list[ScheduledTask], moment: datetime) -> Iterator[tuple[datetime, ScheduledTask]]:
    """All moments after ``moment`` at which any of these schedules fires, ascending; at the same moment as
    their runs get the drive."""
    in_order = sorted(schedules, key=precedence.key)
    return merge(*(_times(each, moment) for each in in_order), key=lambda pair: pair[0])


def to_write(schedule: ScheduledTask, moment: datetime) -> Iterator[datetime]:
    """The moments after ``moment`` at which a schedule fires, except for periods that already have their
    backup.

    If its success is far in the future, because of a wrong clock, the search ends.
    """
    times = islice(ahead([schedule], moment), COUNTED)
    return (at for at, row in times if starting.period_refusal(row, at) is None)


def next_to_write(schedule: ScheduledTask, moment: datetime) -> datetime | None:
    """When a schedule writes next; None if nothing is due automatically."""
    return next(to_write(schedule, moment), None)


def next_start(schedule: ScheduledTask, moment: datetime) -> datetime | None:
    """When the next run of a schedule starts that writes: at once, if a due run has not started and is still
    caught up; None if nothing is due automatically."""
    due = planned_time(schedule)
    if due is not None and due <= moment and problem_of(schedule) is None:
        latest = overdue(rule_of(schedule), due, moment).latest
        in_time = moment - latest <= timedelta(seconds=schedule.grace_seconds)
        if in_time and starting.period_refusal(schedule, latest) is None:
            return moment
    return next_to_write(schedule, moment)


def _times(schedule: ScheduledTask, moment: datetime) -> Iterator[tuple[datetime, ScheduledTask]]:
    """A broken or disabled schedule has no times."""
    if schedule.enabled and problem_of(schedule) is None:
        yield from ((at, schedule) for at in occurrences(rule_of(schedule), moment))


def attend(session: Session, schedule_id: int, moment: datetime) -> list[ChainRun]:
    """Plan an edited schedule again, or decide what is due of it; returns the resulting runs.

    In one transaction with the new ``next_run_time``. If another beat is handling a schedule, it is left to
    that beat.
    """
    schedule = session.scalar(
        select(ScheduledTask).where(ScheduledTask.id == schedule_id).with_for_update(skip_locked=True)
    )
    if schedule is None or schedule.is_held:
        return []
    if schedule.planned_from is None:
        # New: what was due since its creation counts, even if no beat was running.
        plan(schedule, min(schedule.created_at, moment))
        if schedule.plan_error is not None:
            return _report_broken(session, schedule, moment)
        if not _is_due(schedule, moment):
            return []
    elif _is_edited(schedule):
        return _replan(session, schedule, moment)
    if schedule.next_run_time is None or not _is_due(schedule, moment):
        plan(schedule, moment)
        return []
    last = overdue(rule_of(schedule), schedule.next_run_time, moment).latest
    decided = _decide(session, schedule, moment)
    plan(schedule, moment, since=last)
    return decided


def plan_edited(session: Session, numbers: Collection[int], moment: datetime) -> list[int]:
    """Plan many schedules that are new or edited, in one transaction; returns those that ``attend`` has to
    handle one by one, because something is due of them or has to be reported."""
    query = select(ScheduledTask).where(ScheduledTask.id.in_(numbers), ~ScheduledTask.is_held)
    left = []
    for schedule in session.scalars(query.with_for_update(skip_locked=True)).all():
        number, was_due = schedule.id, schedule.next_run_time
        is_new = schedule.planned_from is None
        if is_new or (_is_edited(schedule) and (was_due is None or was_due > moment)):
            plan(schedule, min(schedule.created_at, moment) if is_new else moment)
            if schedule.plan_error is None and not _is_due(schedule, moment):
                continue
            session.expire(schedule)
        left.append(number)
    return left


def _replan(session: Session, schedule: ScheduledTask, moment: datetime) -> list[ChainRun]:
    """From now on the new rule applies; what the old one missed is reported, and not caught up."""
    old = schedule.next_run_time
    plan(schedule, moment)
    made: list[ChainRun] = []
    if old is not None and old + PUNCTUAL < moment:
        reason = M("It was due {due}; it has been changed since.", due=local(schedule, old))
        made += _made(starting.record_missed(session, schedule, old, reason))
    if schedule.plan_error is not None:
        made += _report_broken(session, schedule, moment)
    return made


def _report_broken(session: Session, schedule: ScheduledTask, moment: datetime) -> list[ChainRun]:
    reason = M("No run can be planned any more: {problem}", problem=schedule.plan_error)
    return _made(starting.record_missed(session, schedule, moment, reason))


def _decide(session: Session, schedule: ScheduledTask, moment: datetime) -> list[ChainRun]:
    """Of all due occurrences, the latest is started if it is not too late; the others are missed."""
    assert schedule.next_run_time is not None, "it is due"
    due = overdue(rule_of(schedule), schedule.next_run_time, moment)
    late = moment - due.latest
    in_time = late <= timedelta(seconds=schedule.grace_seconds)
    if not in_time and starting.period_refusal(schedule, due.latest) is None:
        reason = _missed(schedule, due, due.count)
        return _made(starting.record_missed(session, schedule, due.latest, reason))
    made = []
    if due.before_latest is not None:
        reason = _missed(schedule, due, due.count - 1)
        made += _made(starting.record_missed(session, schedule, due.before_latest, reason))
    run = starting.start(session, schedule, due_at=due.latest, trigger=Trigger.SCHEDULE)
    if run is not None and run.state is RunState.QUEUED and late > PUNCTUAL:
        events.record(
            session,
            run,
            M(
                "Caught up: it was due {due}, and nothing could start it then.",
                due=local(schedule, due.latest),
            ),
        )
    return made + _made(run)


def _made(run: ChainRun | None) -> list[ChainRun]:
    return [run] if run is not None else []


def _missed(schedule: ScheduledTask, due: Overdue, count: int) -> Message:
    first = local(schedule, due.first)
    if count == 1:
        return M("It was due {due}, and nothing could start it in time.", due=first)
    shown = f"{COUNTED}+" if due.count == COUNTED else str(count)
    return M(
        "{count} runs were due since {due}, and nothing could start them in time.", count=shown, due=first
    )


def local(schedule: ScheduledTask, moment: datetime) -> str:
    """A moment on the clock of a schedule, with its zone; in UTC where that zone is wrong."""
    if schedule.plan_error:
        return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} (UTC)"
    return f"{moment.astimezone(zone_named(schedule.time_zone)):%Y-%m-%d %H:%M} ({schedule.time_zone})"
