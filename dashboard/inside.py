"""Which tape is in which drive, according to the last inspection."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.tapes import cartridges, drives
from policy.tapes.facts import TapeFacts


@dataclass(frozen=True, slots=True)
class Inside:
    """A drive with a tape in it."""

    drive: str
    facts: TapeFacts


def by_drive(session: Session) -> dict[str, Inside]:
    """The drives that had a tape at the last inspection."""
    found = {}
    for drive in drives.every(session):
        if drive.medium and drive.medium["state"] != "no_medium":
            found[drive.name] = Inside(drive.name, cartridges.tape_facts(session, drive.medium))
    return found


def by_cartridge(session: Session) -> dict[int, Inside]:
    """The known cartridges that are in a drive, by their id."""
    return {
        inside.facts.known.id: inside
        for inside in by_drive(session).values()
        if inside.facts.known is not None
    }
