"""Every point of one run on a recycled tape, struck once: each time the run comes to a sound end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from db.models import ChainRun, TapeCartridge
from db.states import RunState
from policy.message import Message
from policy.tapes.facts import CartridgeState
from tests.histories import checks
from tests.histories.machinery import fates, shelf
from tests.histories.machinery.points import Plan
from tests.histories.world import Parts, World

KILLS = (
    fates.child_killed,
    fates.worker_killed,
    fates.host_crashed,
    fates.program_goes_on,
    fates.program_outlives,
)

STRIDE = 25
"""``make test-all`` strikes each 25th point, each fate others; ``make soak`` strikes them all."""


def _worlds(parts: Parts) -> Iterator[World]:
    while True:
        world = World(parts)
        world.set_up({"tape0": shelf.GOOD})
        world.schedule("monthly", "tape0", "one", tape_policy="rotate", retention_days=30)
        world.insert("tape0", "EXPIRED")
        world.begin("monthly")
        try:
            yield world
        finally:
            world.close()


def _points(world: World) -> int:
    """How many points an undisturbed run passes."""
    plan = Plan()
    world.drain(plan)
    return plan.passed


@pytest.mark.parametrize("number", range(len(fates.FATES)), ids=[fate.__name__ for fate in fates.FATES])
def test_every_point(parts: Parts, number: int, thorough: bool, record_property: Any) -> None:
    """It formats at most once, ends, restores byte-equal and is announced once, wherever it is struck."""
    fate = fates.FATES[number]
    worlds = _worlds(parts)
    last = _points(next(worlds))
    places = range(1, last + 1) if thorough else range(1 + number % STRIDE, last + 1, STRIDE)
    for place in places:
        world = next(worlds)
        world.drain(Plan({(None, place): fate(world)}))
        checks.check(world)
        world.settle()
        checks.check(world)
        checks.check_end(world)
        assert len(world.ledger.formats) <= 1
        _check_ending(world, fate, place)
    worlds.close()
    record_property("tapeline: crash points", len(places))


def _check_ending(world: World, fate: fates.Fate, place: int) -> None:
    """A death is mended, but for one in the middle of the format, where an operator has to look."""
    if fate not in {*KILLS, fates.connection_lost}:
        return
    with world.session() as session:
        run = session.scalars(select(ChainRun).where(ChainRun.schedule_id.is_not(None))).one()
        row = session.scalars(select(TapeCartridge).where(TapeCartridge.barcode == "EXPIRED")).one()
    if run.state is RunState.SUCCEEDED:
        return
    told = "\n".join([f"{fate.__name__} at point {place}: {run.state}", *checks.story(world)])
    assert fate is not fates.connection_lost, told
    assert "was cut off" in str(Message.from_json(run.reason)), told
    assert row.state is CartridgeState.UNKNOWN, told
