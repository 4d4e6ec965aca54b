"""Every point of one run that changes the tape by itself, struck once: each time it comes to a sound end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import ChainRun
from db.states import RunState
from policy.message import Message
from tests.histories import checks
from tests.histories.library import fates
from tests.histories.library.hall import NUMBERS
from tests.histories.library.stage import Place
from tests.histories.library.world import LibraryWorld
from tests.histories.machinery import fates as any_fates
from tests.histories.machinery import shelf
from tests.histories.machinery.points import Plan
from tests.histories.test_crash_points import KILLS
from tests.histories.world import Parts

KEPT, EXPIRED = shelf.OTHERS[1], shelf.GOOD[1]
DRIVE = NUMBERS["tape0"]

STRIDE = 120
"""``make test-all`` strikes each 120th point, each fate others; ``make soak`` strikes them all."""


def _worlds(parts: Parts, place: Place) -> Iterator[LibraryWorld]:
    """A kept tape is in the drive, one past retention in the first slot."""
    while True:
        world = LibraryWorld(parts, place)
        world.set_up_library(tapes=(EXPIRED, KEPT))
        world.schedule("monthly", "tape0", "one", tape_policy="rotate", retention_days=30)
        world.hall.into_drive(DRIVE, KEPT.name)
        world.begin("monthly")
        try:
            yield world
        finally:
            world.close()


def _run(session: Session) -> ChainRun:
    return session.scalars(select(ChainRun).where(ChainRun.schedule_id.is_not(None))).one()


def tape_in(world: LibraryWorld) -> str | None:
    bay = world.hall.found().bay(DRIVE)
    return bay and bay.barcode


def _points(world: LibraryWorld) -> int:
    """How many points an undisturbed run passes, which puts one tape away and fetches another."""
    plan = Plan()
    world.drain(plan)
    with world.session() as session:
        assert _run(session).state is RunState.SUCCEEDED, "\n".join(checks.story(world))
    assert tape_in(world) == EXPIRED.name
    return plan.passed


@pytest.mark.parametrize("number", range(len(fates.FATES)), ids=[fate.__name__ for fate in fates.FATES])
def test_every_point_of_a_change_of_tapes(
    staged: tuple[Parts, Place], number: int, thorough: bool, record_property: Any
) -> None:
    """No cartridge is lost and the kept one is not formatted; the run ends, and is announced once."""
    fate = fates.FATES[number]
    worlds = _worlds(*staged)
    last = _points(next(worlds))
    places = range(1, last + 1) if thorough else range(1 + 7 * number, last + 1, STRIDE)
    for place in places:
        world = next(worlds)
        world.drain(Plan({(None, place): fate(world)}))
        checks.check(world)
        world.check_library()
        world.settle()
        checks.check(world)
        checks.check_end(world)
        assert KEPT.name not in world.ledger.formats.values()
        _check_ending(world, fate, place)
    worlds.close()
    record_property("tapeline: crash points", len(places))


def _check_ending(world: LibraryWorld, fate: fates.Fate, place: int) -> None:
    """A death is mended without a person, but for one in the middle of the format."""
    if fate not in {*KILLS, any_fates.connection_lost}:
        return
    with world.session() as session:
        run = _run(session)
    if run.state is RunState.SUCCEEDED:
        return
    told = "\n".join([f"{fate.__name__} at point {place}: {run.state}", *checks.story(world)])
    assert fate is not any_fates.connection_lost, told
    assert "was cut off" in str(Message.from_json(run.reason)), told
