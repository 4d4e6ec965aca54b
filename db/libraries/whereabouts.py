"""Where cartridges are: in a drive, in a slot of a library, or on the shelf."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from db.libraries import inventory
from db.models import TapeCartridge
from db.tapes.facts import Inside, LoadedTapes


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a cartridge was seen last."""

    id: int
    """The row of the cartridge."""
    drive: str | None = None
    library: str | None = None
    slot: int | None = None
    pool: str | None = None
    """Its pool: on a shelf, cartridges of a pool are together."""
    state: str = ""


def of_tapes(session: Session, names: Collection[str]) -> dict[str, Whereabouts]:
    """The place of each of some cartridges, by ``tape_id``. Else it is on the shelf."""
    query = select(TapeCartridge).where(TapeCartridge.tape_id.in_(names))
    rows = session.scalars(query.options(joinedload(TapeCartridge.pool))).all()
    if not rows:
        return {}
    inside = Inside(session, LoadedTapes(session, look=False)).cartridges
    slots = {
        tape_id: (library.name, slot)
        for library in inventory.every(session)
        for tape_id, slot in inventory.supply(session, library).slots.items()
    }
    found = {}
    for row in rows:
        drive = inside.get(row.id)
        library, slot = (None, None) if drive else slots.get(row.tape_id, (None, None))
        pool = row.pool.name if row.pool else None
        found[row.tape_id] = Whereabouts(row.id, drive, library, slot, pool, row.state.value)
    return found
