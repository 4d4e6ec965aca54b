"""What a copy of a set needs, and what the catalogue knows after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from db.errors import NotAllowed, NotFound
from db.models import ArchiveCopy, BackupArchive, BackupSet, TapeCartridge, now
from db.sets import catalog, restores
from db.sets.places import Places
from db.tapes import copies
from policy.message import M
from policy.tapes.facts import SetState


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """A whole set, and where its archives can be read."""

    stored: BackupSet
    archives: list[BackupArchive]
    places: Places

    @property
    def bytes(self) -> int:
        """What its archives take on tape."""
        return sum(archive.bytes for archive in self.archives)

    @property
    def tapes(self) -> list[TapeCartridge]:
        """The tapes to read, in their order."""
        return list({tape.id: tape for tape in map(self.places.first, self.archives)}.values())

    def to_json(self) -> dict[str, Any]:
        return {
            "set": self.stored.id,
            "tapes": [tape.tape_id for tape in self.tapes],
            "archives": len(self.archives),
            "bytes_on_tape": self.bytes,
        }


def plan(session: Session, set_id: str) -> CopyPlan:
    """Raises NotFound, NotAllowed for a set that is not complete: a copy of it would never be."""
    stored = catalog.get(session, set_id)
    restores.check_on_tape([stored])
    if stored.state is not SetState.COMPLETE or not stored.archives:
        raise NotAllowed(
            M("Set {set} is not complete: only a whole set is copied.", set=set_id),
            M("'tapeline sets list' shows the complete ones."),
        )
    return CopyPlan(stored, list(stored.archives), Places(session, [stored]))


def to_verify(session: Session, set_id: str, tape: str | None) -> list[TapeCartridge]:
    """The tapes that a verification reads: those of the set; or the one with a copy that is named, or that is
    needed because a tape of the set is out of use. Raises NotFound."""
    stored = catalog.get(session, set_id)
    restores.check_on_tape([stored])
    own = catalog.tapes(session, set_id)
    whole = Places(session, [stored]).with_all(stored.archives)
    if tape is None:
        is_unsound = any(each.state in copies.UNSOUND for each in own)
        return whole[:1] if is_unsound and whole else own
    named = [each for each in [*whole, *(own if len(own) == 1 else ())] if tape in {each.tape_id, each.label}]
    if not named:
        raise NotFound(
            M("Tape {tape} does not have the whole of set {set}.", tape=tape, set=set_id),
            M("'tapeline sets show {set}' lists its tapes and its copies.", set=set_id),
        )
    return named[:1]


def verified(session: Session, stored: BackupSet, cartridge: TapeCartridge | None, damaged: int) -> bool:
    """Note what a verification has found on a tape, if that has a copy of the set and nothing else of it."""
    if cartridge is None or any(each.cartridge_id == cartridge.id for each in stored.archives):
        return False
    read = update(ArchiveCopy).where(
        ArchiveCopy.set_id == stored.id,
        ArchiveCopy.cartridge_id == cartridge.id,
        ArchiveCopy.generation == cartridge.generation,
    )
    noted = read.values(verified_at=now(), damaged=damaged).returning(ArchiveCopy.number)
    return bool(session.scalars(noted).all())


def enter(session: Session, set_id: str, cartridge: TapeCartridge) -> BackupSet:
    """A tape has all of a set. If the set is on no other tape any more, it is there."""
    stored = catalog.get(session, set_id)
    session.refresh(stored, ["state", "archives"], with_for_update=True)
    if stored.state is SetState.DESTROYED:
        stored.state, stored.destroyed_at = SetState.COMPLETE, None
        stored.cartridge_id, stored.generation = cartridge.id, cartridge.generation
        for archive in stored.archives:
            archive.cartridge_id, archive.generation = cartridge.id, cartridge.generation
        session.flush()
        return stored
    for archive in stored.archives:
        copies.enter(session, archive, cartridge)
    return stored
