"""Schedules found by their plans: indexes answer, however many schedules there are."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, cast, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, joinedload

from db.models import ScheduledTask
from policy.times.period import ScheduleType


def edited(session: Session, most: int | None = None) -> list[int]:
    """The schedules that are new, or were edited since they were planned; none that is held. At most so many
    of them."""
    query = select(ScheduledTask.id).where(is_edited(), ~ScheduledTask.is_held)
    return list(session.scalars(query.order_by(ScheduledTask.id).limit(most)))


def firing(session: Session, moment: datetime, most: int) -> list[ScheduledTask]:
    """Enough enabled schedules for the first so many moments after ``moment`` at which any of them fires."""
    query = select(ScheduledTask).where(ScheduledTask.enabled, ScheduledTask.archived_at.is_(None))
    query = query.options(joinedload(ScheduledTask.template))
    due = select(ScheduledTask.id).where(ScheduledTask.next_run_time <= moment)
    # Asked apart: an index answers each.
    is_open = ScheduledTask.id.in_(_edited_ids().union(due))
    rows = list(session.scalars(query.where(is_open)))
    planned = query.where(ScheduledTask.next_run_time > moment)
    first = planned.order_by(ScheduledTask.next_run_time, ScheduledTask.id).limit(most + len(rows))
    by_id = {row.id: row for row in (*rows, *session.scalars(first))}
    return sorted(by_id.values(), key=lambda row: row.name)


def in_doubt(session: Session, moment: datetime) -> list[ScheduledTask]:
    """The schedules that may be broken, late, or owe a backup: all others certainly are and do not."""
    settled = func.coalesce(ScheduledTask.last_success_time, ScheduledTask.created_at)
    is_on = ScheduledTask.enabled & (ScheduledTask.schedule_type != ScheduleType.MANUAL)
    # Since it was settled it has not fired, and it will not before next_run_time.
    is_settled = settled >= func.coalesce(ScheduledTask.planned_after, "infinity")
    is_late = ScheduledTask.next_run_time < moment
    is_wrong = ScheduledTask.plan_error.is_not(None) | ScheduledTask.is_held
    others = select(ScheduledTask.id).where(is_wrong | (is_on & (is_late | ~is_settled)))
    query = select(ScheduledTask).where(
        ScheduledTask.archived_at.is_(None), ScheduledTask.id.in_(_edited_ids().union(others))
    )
    return list(
        session.scalars(query.options(joinedload(ScheduledTask.template)).order_by(ScheduledTask.name))
    )


def next_planned(session: Session) -> ScheduledTask | None:
    """The schedule that fires next, as planned."""
    query = select(ScheduledTask).where(
        ScheduledTask.enabled,
        ScheduledTask.archived_at.is_(None),
        ~ScheduledTask.is_held,
        ScheduledTask.next_run_time.is_not(None),
    )
    return session.scalar(query.order_by(ScheduledTask.next_run_time, ScheduledTask.name).limit(1))


def _edited_ids() -> Select[int]:
    return select(ScheduledTask.id).where(is_edited())


def is_edited() -> ColumnElement[bool]:
    """The condition that a row no longer has the values that it was planned from: that of an index."""
    is_on = and_(ScheduledTask.enabled, ScheduledTask.archived_at.is_(None))
    now = func.plan_of(
        ScheduledTask.schedule_type,
        ScheduledTask.schedule_config,
        ScheduledTask.time_zone,
        ScheduledTask.tape_policy,
        is_on,
    )
    return cast(ScheduledTask.planned_from, JSONB).is_distinct_from(now)
