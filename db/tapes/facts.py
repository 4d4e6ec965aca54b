"""All cartridges as the rules see them, with a fixed number of queries."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, joinedload

from db.models import TapeCartridge
from db.tapes import cartridges, kin, mounts
from db.tapes.kin import StoredSet
from policy.tapes.facts import CartridgeFacts, TapeFacts


class Shelf:
    """Cartridges with the sets on their present generation, loaded at once."""

    def __init__(self, session: Session, on: ColumnElement[bool] | None = None) -> None:
        """``on``: a condition on ``TapeCartridge``; without one, every cartridge."""
        rows = select(TapeCartridge).options(joinedload(TapeCartridge.pool)).order_by(TapeCartridge.id)
        if on is not None:
            rows = rows.where(on)
        self.cartridges: dict[int, TapeCartridge] = {row.id: row for row in session.scalars(rows)}
        places = kin.places(on)
        self._sets: dict[int, list[str]] = defaultdict(list)
        for cartridge_id, set_id in session.execute(places):
            self._sets[cartridge_id].append(set_id)
        self._family = kin.Family(session, select(places.subquery().c[1]).distinct())
        self._not_mounted = mounts.failures(session)

    def sets(self, cartridge_id: int) -> list[StoredSet]:
        """The sets that have data on the present generation of a cartridge, in the order they were begun."""
        return [self._family.rows[each.id] for each in self._family.of(self._sets[cartridge_id])]

    def known(self, cartridge_id: int) -> CartridgeFacts:
        """A cartridge as the rules see it."""
        sets = self._family.of(self._sets[cartridge_id])
        return cartridges.described(self.cartridges[cartridge_id], sets)

    def facts(self, cartridge_id: int) -> TapeFacts:
        """A cartridge as a drive would report it, if it is still as its row describes it."""
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
