"""Schedules from a file: what would change, and changing it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from db.errors import NotAllowed
from db.models import BackupSet, BackupTask, ChainRun, ScheduledTask
from db.runs import windows
from db.schedules import planner, schedules
from db.sets import templates
from policy.errors import UsageErrors
from policy.message import M
from policy.schedule import file, following
from policy.schedule.fields import Backup, Columns
from policy.schedule.file import WantedSchedule


class Action(StrEnum):
    """What happens to a schedule."""

    CREATE = "create"
    CHANGE = "change"
    RESTORE = "restore"
    """It was removed earlier, and is revived with its history."""
    DELETE = "delete"
    """It never ran: nothing refers to it."""
    ARCHIVE = "archive"
    """It has runs or sets, which stay; it no longer fires and is not listed."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field in the form of the file; None if it is left out."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class ScheduleChange:
    schedule: str
    action: Action
    fields: tuple[FieldChange, ...] = ()

    @property
    def moves_its_window(self) -> bool:
        """Whether its run that waits or works may do so at another time."""
        return any(field.name in {"window", "time_zone"} for field in self.fields)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def differences(session: Session, wanted: list[WantedSchedule], *, prune: bool) -> list[ScheduleChange]:
    """What would change; nothing for a schedule that matches the file. ``prune``: the others are removed.

    Raises UsageErrors with a FieldError for each schedule that follows one that does not exist, or itself.
    """
    rows = {row.name: row for row in session.scalars(select(ScheduledTask).order_by(ScheduledTask.name))}
    _check_followed(wanted, [] if prune else [row for row in rows.values() if row.archived_at is None])
    changes = [_difference(want, rows.get(want.name)) for want in wanted]
    if prune:
        names = {want.name for want in wanted}
        gone = (row for name, row in rows.items() if name not in names and row.archived_at is None)
        changes += [ScheduleChange(row.name, _removal(session, row)) for row in gone]
    return [change for change in changes if change is not None]


def _check_followed(wanted: list[WantedSchedule], others: list[ScheduledTask]) -> None:
    named = {want.name for want in wanted}
    left = {row.name: row.run_after for row in others if row.name not in named}
    wrong = list(following.problems(wanted, left))
    if wrong:
        raise UsageErrors(wrong)


def _check_removal(session: Session, row: ScheduledTask) -> None:
    query = select(ScheduledTask.name).where(
        ScheduledTask.run_after == row.name, ScheduledTask.archived_at.is_(None), ScheduledTask.id != row.id
    )
    names = ", ".join(session.scalars(query.order_by(ScheduledTask.name)))
    if names:
        raise NotAllowed(
            M("Schedule '{schedule}' is followed by: {names}.", schedule=row.name, names=names),
            M("Take run_after out of these first."),
        )


def _difference(want: WantedSchedule, row: ScheduledTask | None) -> ScheduleChange | None:
    after = dict(file.shown(want.schedule, want.template))
    before = dict(shown(row)) if row else {}
    fields = tuple(
        FieldChange(name, before.get(name), value)
        for name, value in after.items()
        if before.get(name) != value
    )
    if row is None:
        return ScheduleChange(want.name, Action.CREATE, fields)
    if row.archived_at is not None:
        return ScheduleChange(want.name, Action.RESTORE, fields)
    return ScheduleChange(want.name, Action.CHANGE, fields) if fields else None


def shown(row: ScheduledTask) -> Iterator[tuple[str, Any]]:
    """A schedule of the database in the form of the file."""
    schedule = {column: getattr(row, column) for column in Columns.model_fields}
    schedule |= {"schedule_type": row.schedule_type, "schedule_config": row.schedule_config}
    template = {column: getattr(row.template, column) for column in Backup.model_fields}
    template |= schedules.sources_of(row.template)
    return file.shown(schedule, template)


def _removal(session: Session, row: ScheduledTask) -> Action:
    points_to_it = or_(
        exists().where(ChainRun.schedule_id == row.id),
        exists().where(BackupTask.template_id == row.template_id),
        exists().where(BackupSet.template_id == row.template_id),
    )
    return Action.ARCHIVE if session.scalar(select(points_to_it)) else Action.DELETE


def removal(session: Session, row: ScheduledTask) -> ScheduleChange:
    """What becomes of a schedule that is removed. Raises NotAllowed if another one follows it."""
    _check_removal(session, row)
    return ScheduleChange(row.name, _removal(session, row))


def declare(session: Session, names: Collection[str], where: str | None) -> list[str]:
    """Enter where schedules are declared: ``host:path`` of a file, or None for the pages. Returns those that
    were declared elsewhere before, by name."""
    query = select(ScheduledTask).where(
        ScheduledTask.name.in_(names), ScheduledTask.declared_in.is_distinct_from(where)
    )
    rows = session.scalars(query.order_by(ScheduledTask.name).with_for_update()).all()
    for row in rows:
        row.declared_in = where
    return [row.name for row in rows]


def apply(
    session: Session, wanted: list[WantedSchedule], changes: list[ScheduleChange], moment: datetime
) -> None:
    """Make the changes, all of them or none, and plan the changed schedules as of ``moment``."""
    named = {want.name: want for want in wanted}
    windows.lock_active(session, [each.schedule for each in changes if each.moves_its_window])
    for change in changes:
        row = session.scalar(
            select(ScheduledTask).where(ScheduledTask.name == change.schedule).with_for_update()
        )
        if change.action is Action.DELETE and row is not None:
            session.delete(row)
            session.flush()
            session.delete(row.template)
        elif change.action is Action.ARCHIVE and row is not None:
            row.archived_at = moment
            planner.replan(row, moment)
        elif change.schedule in named:
            _put(session, named[change.schedule], row, moment)
            if row is not None and change.moves_its_window:
                windows.follow(session, row)


def _put(session: Session, want: WantedSchedule, row: ScheduledTask | None, moment: datetime) -> None:
    if row is None:
        template = BackupTask(is_template=True, name=want.name, **want.template)
        row = ScheduledTask(name=want.name, template=template, **want.schedule)
        session.add(row)
    else:
        row.archived_at = None
        for target, values in ((row, want.schedule), (row.template, want.template)):
            for column, value in values.items():
                setattr(target, column, value)
    session.flush()
    templates.adopt(session, row.template)
    planner.replan(row, moment)
