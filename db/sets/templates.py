"""Templates by name: a tape names the template of its sets, and a schedule may be created before or after."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.models import BackupSet, BackupTask


def named(session: Session, name: str | None) -> int | None:
    """The template of this name, or None."""
    if name is None:
        return None
    return session.scalar(select(BackupTask.id).where(BackupTask.is_template, BackupTask.name == name))


def adopt(session: Session, template: BackupTask) -> None:
    """Give a template the sets that belong to it according to their tapes, and had no known template so
    far."""
    is_its = (BackupSet.template_name == template.name) & BackupSet.template_id.is_(None)
    session.execute(update(BackupSet).where(is_its).values(template_id=template.id))
