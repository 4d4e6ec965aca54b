"""A set that is begun on one tape and ends on the next."""

from __future__ import annotations

from sqlalchemy import select

from db.models import BackupSet
from tape.virtual.record import VOLUME
from tests import invariants
from tests.histories import checks
from tests.histories.machinery import shelf
from tests.histories.world import Parts, World


def test_a_set_on_two_tapes_is_restored_from_both(parts: Parts) -> None:
    """The first has room for the first of its archives alone. What each history checks at its end finds
    damage on either tape."""
    world = World(parts)
    small = next(cartridge for cartridge in shelf.OTHERS if cartridge.name == "SMALL")
    world.set_up({"tape0": (small, shelf.Cartridge("BLANK"))})
    world.schedule("monthly", "tape0", "one")
    world.insert("tape0", "SMALL")
    world.begin("monthly")
    restored = parts.counts["sets on several tapes restored"]
    try:
        world.settle()
        checks.check(world)
        checks.check_end(world)
        assert parts.counts["sets on several tapes restored"] == restored + 1
        with world.session() as session:
            stored = session.scalars(select(BackupSet)).one()
            folders = invariants.folders_below(parts.folder / "drives")
            for archive in stored.archives:
                path = folders[archive.cartridge.medium_serial] / VOLUME / f"sets/{stored.id}" / archive.name
                whole = path.read_bytes()
                path.write_bytes(bytes(len(whole)))
                assert invariants.not_restored(stored, folders, world.plain_drive, parts.folder / "checked")
                path.write_bytes(whole)
    finally:
        world.close()
