"""An operator's confirmation, at the drive, that nothing on a tape that LTFS cannot read is needed. Used
once."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.orm import Session

from db.models import ErasableTape, FormatPermit, now
from policy.tapes.medium import Mark, MediumReport, first_mark

UNNAMED_HOLDS = timedelta(hours=24)
"""How long the confirmation is valid if only its drive identifies the cartridge."""

MARKS: tuple[Mark, ...] = ("medium_serial", "barcode")
"""Marks of a cartridge without a volume, the most reliable first."""


def mark_of(medium: MediumReport) -> str | None:
    """The mark of this cartridge; None: the drive reports none."""
    return first_mark(medium, MARKS)


def confirm(session: Session, drive: str, medium: MediumReport, by: str) -> ErasableTape:
    """Store that the tape in a drive may be erased, by the next format only."""
    _withdraw(session, drive, mark_of(medium))
    confirmed = ErasableTape(drive=drive, mark=mark_of(medium), confirmed_by=by)
    session.add(confirmed)
    session.flush()
    return confirmed


def is_confirmed(session: Session, medium: MediumReport) -> bool:
    """Whether the confirmation exists for this tape, and is not used yet."""
    if medium["state"] != "foreign":
        return False
    holds = _of(medium.get("drive"), mark_of(medium))
    return session.scalar(select(ErasableTape.id).where(holds).limit(1)) is not None


def use(session: Session, permit: FormatPermit) -> None:
    """The confirmation is used up with the permit under which a format begins."""
    if permit.identity.get("state") == "foreign":
        holds = _of(permit.drive, mark_of(permit.identity))
        session.execute(update(ErasableTape).where(holds).values(ended_at=now(), permit_id=permit.id))


def looked(session: Session, drive: str, medium: MediumReport) -> None:
    """Another tape was seen in a drive than the unidentified one: the confirmation for that one ends."""
    if medium["state"] != "foreign" or mark_of(medium) is not None:
        _withdraw(session, drive, None)


def _withdraw(session: Session, drive: str, mark: str | None) -> None:
    session.execute(update(ErasableTape).where(_of(drive, mark)).values(ended_at=now()))


def _of(drive: str | None, mark: str | None) -> ColumnElement[bool]:
    """A valid confirmation: for the cartridge anywhere, or for the tape in this drive."""
    unnamed = and_(
        ErasableTape.mark.is_(None),
        ErasableTape.drive == drive,
        ErasableTape.confirmed_at > now() - UNNAMED_HOLDS,
    )
    named = ErasableTape.mark == mark
    return and_(ErasableTape.ended_at.is_(None), named if mark is not None else unnamed)
