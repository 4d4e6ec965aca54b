"""All cartridges as the rules see them, with the same few questions however many there are."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import select, union
from sqlalchemy.orm import Session, joinedload

from db import cartridges
from db.cartridges import FOLLOWING, Kin
from db.models import BackupArchive, BackupSet, TapeCartridge
from policy.tapes import CartridgeFacts, SetFacts, SetState, TapeFacts


class Shelf:
    """Every cartridge with the sets on its present generation, loaded at once."""

    def __init__(self, session: Session) -> None:
        rows = select(TapeCartridge).options(joinedload(TapeCartridge.pool)).order_by(TapeCartridge.id)
        self.cartridges: dict[int, TapeCartridge] = {row.id: row for row in session.scalars(rows)}
        self._kin = LoadedKin(session)
        self._sets: dict[int, list[BackupSet]] = defaultdict(list)
        for cartridge_id, set_id in session.execute(_on_present_generations()):
            self._sets[cartridge_id].append(self._kin.sets[set_id])
        self._facts: dict[str, SetFacts] = {}

    def sets(self, cartridge_id: int) -> list[BackupSet]:
        """The sets that have data on the present generation of a cartridge, in the order they were begun."""
        return sorted(self._sets[cartridge_id], key=lambda stored: (stored.started_at, stored.id))

    def known(self, cartridge_id: int) -> CartridgeFacts:
        """A cartridge as the rules see it."""
        found = tuple(self._of_set(stored) for stored in self.sets(cartridge_id))
        return cartridges.described(self.cartridges[cartridge_id], found)

    def facts(self, cartridge_id: int) -> TapeFacts:
        """A cartridge as it would be found in a drive, if it is still as its row says."""
        known = self.known(cartridge_id)
        return TapeFacts(
            state="formatted",
            label=known.label,
            empty=not known.sets,
            write_protected=False,
            identity=(("tape_id", known.tape_id),),
            known=known,
        )

    def _of_set(self, stored: BackupSet) -> SetFacts:
        found = self._facts.get(stored.id)
        if found is None:
            found = self._facts[stored.id] = cartridges.set_facts(self._kin, stored)
        return found


class LoadedKin(Kin):
    """As ``Kin``, from all sets at once."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        rows = session.scalars(select(BackupSet).order_by(BackupSet.id))
        self.sets: dict[str, BackupSet] = {stored.id: stored for stored in rows}
        self._followers: dict[str, list[BackupSet]] = defaultdict(list)
        self._begun: dict[Any, list[datetime]] = defaultdict(list)
        for stored in self.sets.values():
            if stored.parent_id and stored.state in FOLLOWING:
                self._followers[stored.parent_id].append(stored)
            if stored.state is SetState.COMPLETE:
                self._begun[_series(stored)].append(stored.started_at)
        for begun in self._begun.values():
            begun.sort()

    def followers(self, stored: BackupSet) -> Iterable[BackupSet]:
        return self._followers[stored.id]

    def newer(self, stored: BackupSet) -> int:
        begun = self._begun[_series(stored)]
        return len(begun) - bisect_right(begun, stored.started_at)


def _series(stored: BackupSet) -> tuple[int | None, str]:
    return stored.template_id, stored.type.value


def _on_present_generations() -> Any:
    """Pairs of a cartridge and a set that has data on its present generation (``on_generation`` for all)."""
    began = select(BackupSet.cartridge_id, BackupSet.id).join(
        TapeCartridge,
        (TapeCartridge.id == BackupSet.cartridge_id) & (TapeCartridge.generation == BackupSet.generation),
    )
    archived = select(BackupArchive.cartridge_id, BackupArchive.set_id).join(
        TapeCartridge,
        (TapeCartridge.id == BackupArchive.cartridge_id)
        & (TapeCartridge.generation == BackupArchive.generation),
    )
    return union(began, archived)
