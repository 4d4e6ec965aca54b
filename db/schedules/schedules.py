"""Schedules and their templates, found by name."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, joinedload

from db.errors import NotFound
from db.models import BackupTask, ChainRun, ScheduledTask
from db.models.base import is_elsewhere
from db.schedules import planner
from db.sets import templates
from db.states import BackupType, RunState
from policy.message import M
from policy.schedule.sources import COLUMNS, together
from policy.times.period import ScheduleType

ListedSchedule = Any
"""A schedule with some of its columns."""


def get(session: Session, name: str) -> ScheduledTask:
    """A schedule by its name, unless it was removed. Raises NotFound, which lists the existing names."""
    schedule = session.scalar(
        select(ScheduledTask).where(ScheduledTask.name == name, ScheduledTask.archived_at.is_(None))
    )
    if schedule is None:
        names = ", ".join(row.name for row in present(session))
        raise NotFound(
            M("There is no schedule '{name}'.", name=name),
            M("There are: {names}", names=names) if names else M("No schedule has been made yet."),
        )
    return schedule


def present(session: Session) -> list[ScheduledTask]:
    """Every schedule that was not removed, by name."""
    return list(session.scalars(_present().order_by(ScheduledTask.name)))


def all_as_json(session: Session) -> list[dict[str, Any]]:
    """Each of them in the form for scripts; nothing else of their templates is read."""
    needed = [getattr(BackupTask, name) for name in ("type", *COLUMNS)]
    of_template = joinedload(ScheduledTask.template).load_only(*needed, raiseload=True)
    query = select(ScheduledTask).where(ScheduledTask.archived_at.is_(None)).options(of_template)
    return [as_json(row) for row in session.scalars(query.order_by(ScheduledTask.name))]


def listed(session: Session) -> list[ListedSchedule]:
    """Every schedule that was not removed, by name, with the few facts that are shown of all of them."""
    columns = (
        ScheduledTask.id,
        ScheduledTask.name,
        ScheduledTask.enabled,
        ScheduledTask.schedule_type,
        is_elsewhere(ScheduledTask.home).label("is_held"),
        ScheduledTask.last_success_time,
        ScheduledTask.next_run_time,
        ScheduledTask.archived_at,
    )
    query = select(*columns).where(ScheduledTask.archived_at.is_(None))
    return list(session.execute(query.order_by(ScheduledTask.name)))


def never_run(session: Session, most: int) -> list[ScheduledTask]:
    """Enabled schedules with times that have made no backup and have no run that was not merely skipped; the
    one that is due first, first; at most so many of them."""
    begun = select(ChainRun.id).where(
        ChainRun.schedule_id == ScheduledTask.id, ChainRun.state != RunState.SKIPPED
    )
    query = _present().where(
        ScheduledTask.enabled,
        ~ScheduledTask.is_held,
        ScheduledTask.schedule_type != ScheduleType.MANUAL,
        ScheduledTask.last_success_time.is_(None),
        ~begun.exists(),
    )
    order = (ScheduledTask.next_run_time.nulls_last(), ScheduledTask.name)
    return list(session.scalars(query.order_by(*order).limit(most)))


def held(session: Session) -> list[ScheduledTask]:
    """The enabled schedules that are held since the database was restored, by name."""
    query = _present().where(ScheduledTask.enabled, ScheduledTask.is_held)
    return list(session.scalars(query.order_by(ScheduledTask.name)))


def next_first(session: Session, count: int) -> list[ScheduledTask]:
    """So many enabled schedules, the one that runs next first."""
    query = _present().where(ScheduledTask.enabled).limit(count)
    return list(session.scalars(query.order_by(ScheduledTask.next_run_time.nulls_last(), ScheduledTask.name)))


def page(session: Session, name: str, *, number: int, size: int) -> tuple[list[ScheduledTask], int]:
    """A page of the schedules whose name contains a text, by name; and how many there are of all pages."""
    matching = _present().where(ScheduledTask.name.icontains(name, autoescape=True))
    count = session.scalars(select(func.count()).select_from(matching.subquery())).one()
    rows = session.scalars(matching.order_by(ScheduledTask.name).offset((number - 1) * size).limit(size))
    return list(rows), count


def named(session: Session, *names: str) -> list[ScheduledTask]:
    """Those of some schedules that were not removed, by name."""
    query = _present().where(ScheduledTask.name.in_(names))
    return list(session.scalars(query.order_by(ScheduledTask.name)))


def _present() -> Select[ScheduledTask]:
    query = select(ScheduledTask).where(ScheduledTask.archived_at.is_(None))
    return query.options(joinedload(ScheduledTask.template))


def put(
    session: Session,
    name: str,
    *,
    drive: str,
    sources: list[str],
    schedule_type: ScheduleType = ScheduleType.MONTHLY,
    template: dict[str, Any] | None = None,
    **settings: Any,
) -> ScheduledTask:
    """Create a schedule with its template, or change the one of this name."""
    schedule = session.scalar(select(ScheduledTask).where(ScheduledTask.name == name))
    if schedule is None:
        base = BackupTask(is_template=True, name=name, type=BackupType.FULL, sources=sources)
        schedule = ScheduledTask(name=name, template=base, drive=drive, schedule_type=schedule_type)
        session.add(schedule)
    schedule.drive, schedule.schedule_type, schedule.archived_at = drive, schedule_type, None
    schedule.template.sources = sources
    _set(schedule.template, template or {})
    _set(schedule, settings)
    session.flush()
    templates.adopt(session, schedule.template)
    return schedule


def _set(row: Any, values: dict[str, Any]) -> None:
    for column, value in values.items():
        setattr(row, column, value)


def counts(session: Session, schedule: ScheduledTask) -> dict[str, int]:
    """How many runs a schedule has had, and how they ended."""
    missed = func.count().filter(ChainRun.is_missed)
    rows = session.execute(
        select(ChainRun.state, func.count(), missed)
        .where(ChainRun.schedule_id == schedule.id)
        .group_by(ChainRun.state)
    ).all()
    of_state = {row[0]: row[1] for row in rows}
    never_begun = sum(row[2] for row in rows)
    skipped = of_state.get(RunState.SKIPPED, 0)
    return {
        "runs": sum(of_state.values()) - skipped,
        "successes": of_state.get(RunState.SUCCEEDED, 0),
        "failures": of_state.get(RunState.FAILED, 0),
        "skipped": skipped - never_begun,
        "missed": never_begun,
    }


def sources_of(template: BackupTask) -> dict[str, Any]:
    """The columns of a template with its sources, by name."""
    return {column: getattr(template, column) for column in COLUMNS}


def as_json(schedule: ScheduledTask) -> dict[str, Any]:
    """A schedule in the form for scripts."""
    problem = planner.problem_of(schedule)
    return {
        "name": schedule.name,
        "enabled": schedule.enabled,
        "type": schedule.schedule_type.value,
        "config": schedule.schedule_config,
        "time_zone": schedule.time_zone,
        "drive": schedule.drive,
        "tape_policy": schedule.tape_policy,
        "window": schedule.backup_window,
        "run_after": schedule.run_after,
        "rate": schedule.rate,
        "grace_seconds": schedule.grace_seconds,
        "backup": schedule.template.type.value,
        "declared_in": schedule.declared_in,
        "sources": together(sources_of(schedule.template)),
        "last_run_time": _iso(schedule.last_run_time),
        "last_success_time": _iso(schedule.last_success_time),
        "last_failure_time": _iso(schedule.last_failure_time),
        "next_run_time": _iso(planner.planned_time(schedule)),
        "problem": problem.to_json() if problem else None,
    }


def _iso(moment: Any) -> str | None:
    return moment.isoformat() if moment else None
