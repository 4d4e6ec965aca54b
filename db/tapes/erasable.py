"""What somebody at a drive has said of a tape that LTFS cannot read: nothing on it is needed. Used once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.orm import Session

from db.models import ErasableTape, FormatPermit, now

UNNAMED_HOLDS = timedelta(hours=24)
"""How long the word holds where nothing but its drive tells the cartridge from another."""

MARKS = ("medium_serial", "barcode")
"""What tells a cartridge that has no volume, the surest first."""


def mark_of(medium: Mapping[str, Any]) -> str | None:
    """What tells this cartridge from another; None: nothing that the drive knows does."""
    return next((medium[name] for name in MARKS if medium.get(name)), None)


def confirm(session: Session, drive: str, medium: Mapping[str, Any], by: str) -> ErasableTape:
    """Keep that what is in a drive may be erased, by the next format alone."""
    _withdraw(session, drive, mark_of(medium))
    confirmed = ErasableTape(drive=drive, mark=mark_of(medium), confirmed_by=by)
    session.add(confirmed)
    session.flush()
    return confirmed


def is_confirmed(session: Session, medium: Mapping[str, Any]) -> bool:
    """Whether the word is there for this tape, and not used yet."""
    if medium["state"] != "foreign":
        return False
    holds = _of(medium.get("drive"), mark_of(medium))
    return session.scalar(select(ErasableTape.id).where(holds).limit(1)) is not None


def use(session: Session, permit: FormatPermit) -> None:
    """The word is used up with the permit that a format begins under."""
    if permit.identity.get("state") == "foreign":
        holds = _of(permit.drive, mark_of(permit.identity))
        session.execute(update(ErasableTape).where(holds).values(ended_at=now(), permit_id=permit.id))


def looked(session: Session, drive: str, medium: Mapping[str, Any]) -> None:
    """Something else was seen in a drive than a tape that nothing tells: what was said of that one ends."""
    if medium["state"] != "foreign" or mark_of(medium) is not None:
        _withdraw(session, drive, None)


def _withdraw(session: Session, drive: str, mark: str | None) -> None:
    session.execute(update(ErasableTape).where(_of(drive, mark)).values(ended_at=now()))


def _of(drive: str | None, mark: str | None) -> ColumnElement[bool]:
    """A word that still holds: of the cartridge wherever it is, or of what is in this drive."""
    unnamed = and_(
        ErasableTape.mark.is_(None),
        ErasableTape.drive == drive,
        ErasableTape.confirmed_at > now() - UNNAMED_HOLDS,
    )
    named = ErasableTape.mark == mark
    return and_(ErasableTape.ended_at.is_(None), named if mark is not None else unnamed)
