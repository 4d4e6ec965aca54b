"""Sets that nobody needs any more: told apart and marked. Nothing is erased, on tape or in the catalogue."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import cartridges
from db.models import BackupSet
from db.shelf import LoadedKin
from policy.tapes import SetState

KEPT = (SetState.COMPLETE, SetState.INCOMPLETE)


def expirable(session: Session, moment: datetime) -> list[BackupSet]:
    """The sets that are past retention, that no kept set follows, not marked yet; oldest first."""
    kin = LoadedKin(session)
    query = select(BackupSet).where(BackupSet.state.in_(KEPT), BackupSet.expired_at.is_(None))
    return [
        stored
        for stored in session.scalars(query.order_by(BackupSet.started_at))
        if cartridges.set_facts(kin, stored).may_be_lost(moment)
    ]


def expire(session: Session, moment: datetime) -> list[BackupSet]:
    """Mark them: no increment follows them from now on. They can be restored as long as their tape is."""
    found = expirable(session, moment)
    for stored in found:
        stored.expired_at = moment
    return found
