"""All cartridges as the rules see them, with the same few questions however many there are."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from db.models import BackupArchive, BackupSet, ScheduledTask, TapeCartridge
from db.states import BackupType
from db.tapes import cartridges, mounts, risk
from db.tapes.cartridges import Kin, StoredSet
from policy.tapes.facts import (
    CartridgeFacts,
    SetFacts,
    SetState,
    TapeFacts,
)

_COLUMNS = (
    BackupSet.id,
    BackupSet.run_id,
    BackupSet.template_id,
    BackupSet.cartridge_id,
    BackupSet.generation,
    BackupSet.type,
    BackupSet.parent_id,
    BackupSet.state,
    BackupSet.period,
    BackupSet.started_at,
    BackupSet.retention_until,
    BackupSet.keep_sets,
    BackupSet.expired_at,
    BackupSet.damaged,
    BackupSet.is_restored,
)


class Shelf:
    """Every cartridge with the sets on its present generation, loaded at once."""

    def __init__(self, session: Session) -> None:
        rows = select(TapeCartridge).options(joinedload(TapeCartridge.pool)).order_by(TapeCartridge.id)
        self.cartridges: dict[int, TapeCartridge] = {row.id: row for row in session.scalars(rows)}
        self._kin = LoadedKin(session)
        self._sets: dict[int, dict[str, StoredSet]] = defaultdict(dict)
        for stored in self._kin.sets.values():
            self._put(stored.cartridge_id, stored.generation, stored)
        for cartridge_id, generation, set_id in session.execute(_elsewhere()):
            self._put(cartridge_id, generation, self._kin.sets[set_id])
        self._facts: dict[str, SetFacts] = {}
        self._not_mounted = mounts.failures(session)

    def _put(self, cartridge_id: int | None, generation: int, stored: StoredSet) -> None:
        cartridge = self.cartridges.get(cartridge_id) if cartridge_id is not None else None
        if cartridge is not None and cartridge.generation == generation:
            self._sets[cartridge.id][stored.id] = stored

    def sets(self, cartridge_id: int) -> list[StoredSet]:
        """The sets that have data on the present generation of a cartridge, in the order they were begun."""
        return sorted(self._sets[cartridge_id].values(), key=lambda stored: (stored.started_at, stored.id))

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
            mount_failed=mounts.of_row(self.cartridges[cartridge_id], self._not_mounted),
        )

    def _of_set(self, stored: StoredSet) -> SetFacts:
        found = self._facts.get(stored.id)
        if found is None:
            found = self._facts[stored.id] = cartridges.set_facts(self._kin, stored)
        return found


class LoadedKin(Kin):
    """As ``Kin``, from all sets at once."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        # Rows and not objects: in a tenth of the time.
        rows = session.execute(select(*_COLUMNS, risk.at_risk().label("at_risk")).order_by(BackupSet.id))
        self.sets: dict[str, StoredSet] = {stored.id: stored for stored in rows}
        self._followers: dict[str, list[StoredSet]] = defaultdict(list)
        self._astray: list[StoredSet] = []
        self._begun: dict[Any, list[datetime]] = defaultdict(list)
        for stored in self.sets.values():
            if stored.parent_id:
                self._followers[stored.parent_id].append(stored)
            elif stored.type is not BackupType.FULL:
                self._astray.append(stored)
            if stored.state is SetState.COMPLETE and not stored.damaged and not stored.at_risk:
                self._begun[_series(stored)].append(stored.started_at)
        for begun in self._begun.values():
            begun.sort()
        self._removed = set(
            session.scalars(select(ScheduledTask.template_id).where(ScheduledTask.archived_at.is_not(None)))
        )
        self._sealed = set(session.scalars(select(BackupArchive.set_id).distinct()))

    def followers(self, stored: StoredSet) -> Iterable[StoredSet]:
        may_follow = [each for each in self._astray if _may_follow(each, stored)]
        return sorted([*self._followers[stored.id], *may_follow], key=lambda each: str(each.id))

    def newer(self, stored: StoredSet) -> int:
        begun = self._begun[_series(stored)]
        return len(begun) - bisect_right(begun, stored.started_at)

    def is_removed(self, template_id: int) -> bool:
        return template_id in self._removed

    def is_sealed(self, stored: StoredSet) -> bool:
        return stored.id in self._sealed


def _may_follow(follower: StoredSet, stored: StoredSet) -> bool:
    is_later = bool(follower.started_at > stored.started_at)
    templates = {follower.template_id, stored.template_id}
    return is_later and (None in templates or len(templates) == 1)


def _series(stored: StoredSet) -> tuple[int | None, str]:
    return stored.template_id, stored.type.value


def _elsewhere() -> Any:
    """Where sets go on that do not lie wholly where they were begun."""
    begun = (BackupSet.cartridge_id, BackupSet.generation)
    return (
        select(BackupArchive.cartridge_id, BackupArchive.generation, BackupArchive.set_id)
        .join(BackupSet, BackupSet.id == BackupArchive.set_id)
        .where(
            BackupArchive.cartridge_id.is_distinct_from(begun[0])
            | BackupArchive.generation.is_distinct_from(begun[1])
        )
        .distinct()
    )
