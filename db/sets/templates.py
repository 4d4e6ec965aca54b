"""Templates by name: a tape names the template of its sets, and a schedule may be created before or after."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.models import BackupSet, BackupTask, ScheduledTask
from policy.tapes.facts import SetState


def named(session: Session, name: str | None) -> int | None:
    """The template of this name, or None."""
    if name is None:
        return None
    return session.scalar(select(BackupTask.id).where(BackupTask.is_template, BackupTask.name == name))


def with_sets(session: Session) -> list[tuple[int, str, str | None]]:
    """The templates that have a complete set, by name: each with its row, and the drive of its schedule."""
    has_one = select(BackupSet.id).where(
        BackupSet.template_id == BackupTask.id, BackupSet.state == SetState.COMPLETE
    )
    drive = (
        select(ScheduledTask.drive)
        .where(ScheduledTask.template_id == BackupTask.id)
        .order_by(ScheduledTask.archived_at.is_not(None), ScheduledTask.id)
        .limit(1)
        .scalar_subquery()
    )
    query = select(BackupTask.id, BackupTask.name, drive).where(BackupTask.is_template, has_one.exists())
    return [tuple(row) for row in session.execute(query.order_by(BackupTask.name, BackupTask.id))]


def adopt(session: Session, template: BackupTask) -> None:
    """Give a template the sets that belong to it according to their tapes, and had no known template so
    far."""
    is_its = (BackupSet.template_name == template.name) & BackupSet.template_id.is_(None)
    session.execute(update(BackupSet).where(is_its).values(template_id=template.id))
