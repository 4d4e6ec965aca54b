"""Sets that nobody needs any more: told apart and marked. Nothing is erased, on tape or in the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from db import leaps
from db.models import BackupSet
from db.sets import catalog
from db.tapes import cartridges
from db.tapes.cartridges import StoredSet
from db.tapes.facts import LoadedKin
from policy.tapes.facts import SetFacts, SetState

KEPT = (SetState.COMPLETE, SetState.INCOMPLETE)


def expirable(session: Session, moment: datetime) -> list[BackupSet]:
    """The sets that are past retention, that no kept set follows, not marked yet; oldest first.

    Whoever asks answers for it that every tape was imported whose sets may follow an imported one.
    By the clock: one in doubt marks nothing. Raises NotAllowed.
    """
    leaps.check(session, moment)
    kin = LoadedKin(session)
    return [
        stored for stored in session.scalars(_unmarked()) if _answered_for(kin, stored).may_be_lost(moment)
    ]


def _answered_for(kin: LoadedKin, stored: StoredSet) -> SetFacts:
    return _known_whole(cartridges.set_facts(kin, stored))


def _known_whole(stored: SetFacts) -> SetFacts:
    return replace(
        stored, is_imported=False, followed_by=tuple(_known_whole(each) for each in stored.followed_by)
    )


def _unmarked() -> Any:
    query = select(BackupSet).where(BackupSet.state.in_(KEPT), BackupSet.expired_at.is_(None))
    return query.order_by(BackupSet.started_at)


def of_no_template(session: Session) -> list[BackupSet]:
    """The sets whose template nobody knows, not marked yet: they are kept until somebody names them."""
    has_tape = or_(BackupSet.cartridge_id.is_not(None), BackupSet.archives.any())
    return list(session.scalars(_unmarked().where(BackupSet.template_id.is_(None), has_tape)))


def named(session: Session, ids: Sequence[str]) -> list[BackupSet]:
    """The sets that somebody names, not marked yet. Raises NotFound."""
    return [stored for each in ids if (stored := catalog.get(session, each)).expired_at is None]


def mark(found: Iterable[BackupSet], moment: datetime) -> None:
    """Mark sets: no increment follows them from now on. They can be restored as long as their tape is."""
    for stored in found:
        stored.expired_at = moment
