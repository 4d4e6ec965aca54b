"""Sets that may vanish at any moment: a permit was consumed to format their tape, or nobody knows what such a
format has left on it. Until that is known no increment follows them; what they protect stays protected."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Select, false, func, or_, select, tuple_
from sqlalchemy.orm import Session

from db.models import BackupArchive, BackupSet, ChainRun, FormatPermit, TapeCartridge
from db.states import ACTIVE
from policy.tapes.facts import CartridgeState


def at_risk() -> ColumnElement[bool]:
    """The condition that a set has data on such a tape."""
    # Subqueries that depend on no row: they run once for all sets.
    doubtful = select(TapeCartridge.id, TapeCartridge.generation).where(
        or_(TapeCartridge.state == CartridgeState.UNKNOWN, TapeCartridge.id.in_(_being_formatted()))
    )
    began = tuple_(BackupSet.cartridge_id, BackupSet.generation).in_(doubtful)
    archived = BackupSet.id.in_(
        select(BackupArchive.set_id).where(
            tuple_(BackupArchive.cartridge_id, BackupArchive.generation).in_(doubtful)
        )
    )
    # A set of no known tape is on none of them.
    return or_(func.coalesce(began, false()), archived)


def _being_formatted() -> Select[int | None]:
    """Cartridges for which a run has a consumed permit whose outcome is not known yet."""
    return (
        select(FormatPermit.cartridge_id)
        .join(ChainRun, ChainRun.id == FormatPermit.run_id)
        .where(FormatPermit.consumed_at.is_not(None), FormatPermit.outcome.is_(None))
        .where(FormatPermit.cartridge_id.is_not(None), ChainRun.state.in_(ACTIVE))
    )


def any_of(session: Session, set_ids: Collection[str]) -> bool:
    """Whether one of some sets is at risk."""
    query = select(BackupSet.id).where(BackupSet.id.in_(set_ids), at_risk()).limit(1)
    return session.scalar(query) is not None
