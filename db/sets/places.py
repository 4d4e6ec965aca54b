"""Where archives can be read: each where it was written, and where copies of it are; the best place first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session, contains_eager

from db.models import ArchiveCopy, BackupArchive, BackupSet, TapeCartridge
from db.tapes import copies


class Places:
    """The cartridges that have the archives of some sets."""

    def __init__(self, session: Session, sets: Iterable[BackupSet]) -> None:
        listed = list(sets)
        self._damaged = {stored.id for stored in listed if stored.damaged}
        self._damaged_on: set[tuple[str, int]] = set()
        self._copies: dict[tuple[str, int], list[TapeCartridge]] = defaultdict(list)
        query = (
            select(ArchiveCopy)
            .join(ArchiveCopy.cartridge)
            .options(contains_eager(ArchiveCopy.cartridge))
            .where(ArchiveCopy.set_id.in_([stored.id for stored in listed]), copies.here(ArchiveCopy))
            .order_by(ArchiveCopy.copied_at.desc(), ArchiveCopy.cartridge_id)
        )
        for copy in session.scalars(query):
            self._copies[copy.set_id, copy.number].append(copy.cartridge)
            if copy.damaged:
                self._damaged_on.add((copy.set_id, copy.cartridge_id))

    def of(self, archive: BackupArchive) -> list[TapeCartridge]:
        """The cartridges that have an archive. Where it was written comes first, unless that tape is out of
        use, was formatted since, or was found damaged."""
        own = archive.cartridge
        is_doubtful = own.generation != archive.generation or archive.set_id in self._damaged
        places = [(own.state in copies.UNSOUND or is_doubtful, 0, own)]
        places += [
            (tape.state in copies.UNSOUND or (archive.set_id, tape.id) in self._damaged_on, number, tape)
            for number, tape in enumerate(self._copies[archive.set_id, archive.number], 1)
        ]
        return [tape for *_, tape in sorted(places, key=lambda place: place[:2])]

    def first(self, archive: BackupArchive) -> TapeCartridge:
        """The cartridge to read an archive from."""
        return self.of(archive)[0]

    def are_on(self, archive: BackupArchive, cartridge: TapeCartridge | None) -> bool:
        """Whether an archive is on the present generation of a cartridge."""
        if cartridge is None:
            return False
        if (archive.cartridge_id, archive.generation) == (cartridge.id, cartridge.generation):
            return True
        return any(each.id == cartridge.id for each in self._copies[archive.set_id, archive.number])

    def with_all(self, archives: Collection[BackupArchive]) -> list[TapeCartridge]:
        """The cartridges that have a copy of each of some archives, the newest first."""
        tapes = {each.id: each for of_archive in self._copies.values() for each in of_archive}
        return [
            tape
            for tape in tapes.values()
            if all(tape in self._copies[archive.set_id, archive.number] for archive in archives)
        ]

    def instead_of(self, archives: Iterable[BackupArchive], wanted: Collection[int]) -> list[TapeCartridge]:
        """The other cartridges that have something of what would be read from the wanted ones."""
        others: dict[int, TapeCartridge] = {}
        for archive in archives:
            places = self.of(archive)
            if any(each.id in wanted for each in places):
                others |= {each.id: each for each in places if each.id not in wanted}
        return list(others.values())
