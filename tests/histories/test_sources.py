"""Nights without most of a source, in plain histories: nothing of them pushes a set past its time."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from backup.source import xattrs
from db.states import RunState
from tests.histories import checks
from tests.histories.machinery import shelf
from tests.histories.machinery.sources import Loss
from tests.histories.world import Parts, World


@pytest.mark.parametrize("how", [Loss.SHRUNK, Loss.EMPTY])
def test_two_nights_without_a_source(parts: Parts, how: Loss) -> None:
    """One full set is kept. The nights after it are held, and its tape is not formatted, until a person has
    accepted the source as it is; then it is, as soon as that set is whole and another one begins."""
    world = World(parts)
    world.set_up({"tape0": shelf.GOOD})
    world.schedule("monthly", "tape0", "one", tape_policy="rotate", keep_sets=1)

    def night(tape: str) -> int:
        world.time_passes(timedelta(days=32))
        world.insert("tape0", tape)
        run_id = world.begin("monthly")
        world.drain()
        checks.check(world)
        return run_id

    try:
        night("BLANK")
        world.lose_files("one", how)
        for tape in ("EXPIRED", "BLANK"):
            held = night(tape)
            assert world.run_ids(RunState.HELD) == [held]
            world.retry(held)
            world.drain()
            assert world.run_ids(RunState.HELD) == [held]
            world.time_passes(timedelta(days=5))
            world.tick()
            world.drain()
            assert held in world.run_ids(RunState.FAILED)
        assert list(world.ledger.formats.values()) == ["BLANK"]
        held = night("EXPIRED")
        world.accept(held)
        world.drain()
        night("BLANK")
        assert list(world.ledger.formats.values()) == ["BLANK", "EXPIRED", "BLANK"]
        world.settle()
        checks.check(world)
        checks.check_end(world)
    finally:
        world.close()


def test_what_the_system_has_and_no_backup_stores_is_in_the_story(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows: permissions and streams, with how many files that concerns."""
    monkeypatch.setattr(xattrs, "left_out", partial(xattrs.left_out, platform="win32"))
    world = World(parts)
    world.set_up({"tape0": shelf.GOOD})
    world.schedule("monthly", "tape0", "one", tape_policy="rotate")
    world.insert("tape0", "BLANK")
    world.begin("monthly")
    world.drain()
    try:
        [line] = [
            line for line in checks.story(world) if "NTFS permissions (ACLs) and alternate streams" in line
        ]
        assert '"files": 5' in line
    finally:
        world.close()
