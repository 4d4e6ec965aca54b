"""Predicts the next backup from the last one."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import BackupArchive, BackupSet
from db.states import BackupType
from policy.tapes.facts import SetState


def bytes_on_tape(session: Session, template_id: int, kind: BackupType) -> int | None:
    """The bytes on tape of the newest finished set of this kind, regardless of its tape's state now."""
    newest = session.scalar(
        select(BackupSet.id)
        .where(
            BackupSet.template_id == template_id,
            BackupSet.type == kind,
            BackupSet.state.in_([SetState.COMPLETE, SetState.DESTROYED]),
            BackupSet.finished_at.is_not(None),
        )
        .order_by(BackupSet.finished_at.desc())
        .limit(1)
    )
    return session.scalar(select(func.sum(BackupArchive.bytes)).where(BackupArchive.set_id == newest))
