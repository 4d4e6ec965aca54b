"""What random histories with a library have found, each as one plain history."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from db.models import ChainRun, TapeCartridge, TapeLibrary
from db.states import RunState
from policy.tapes.facts import CartridgeState
from tape.virtual import library
from tests.histories import checks
from tests.histories.library import fates
from tests.histories.library.hall import NAME, NUMBERS
from tests.histories.library.stage import Place
from tests.histories.library.world import LibraryWorld
from tests.histories.machinery import shelf
from tests.histories.machinery.points import Plan
from tests.histories.world import Parts

BLANKS = (shelf.Cartridge("BLANK"), shelf.Cartridge("BLANK2"))


@pytest.fixture
def world(staged: tuple[Parts, Place]) -> Iterator[LibraryWorld]:
    """Two blank tapes in the first slots."""
    made = LibraryWorld(*staged)
    made.set_up_library(tapes=BLANKS)
    made.schedule("monthly", "tape0", "one")
    yield made
    made.close()


def test_an_open_door_is_kept_in_mind_although_the_robot_fails(world: LibraryWorld) -> None:
    """The changer reports it once; the inventory that follows fails. It is not believed until it was read."""
    world.by_command("tape0", lambda arm: arm.look())
    world.hall.exchange(1, 2)
    world.hall.breaks([{"at": "inventory", "error": "busy"}])
    world.by_command("tape0", lambda arm: arm.look())
    with world.session() as session:
        assert session.get_one(TapeLibrary, NAME).old is not None
    world.by_command("tape0", lambda arm: arm.look())
    with world.session() as session:
        row = session.get_one(TapeLibrary, NAME)
        assert row.old is None
        assert row.inventory["slots"][0]["barcode"] == "BLANK2"


def test_a_door_opened_while_the_robot_moves_is_kept_in_mind(world: LibraryWorld) -> None:
    """The status after the move reports it, and the inventory is not believed."""
    world.by_command("tape0", lambda arm: arm.look())
    with library.edit(world.hall.path) as found:
        found.disturbed = True
    world.by_command("tape0", lambda arm: arm.load(1, NUMBERS["tape0"], "BLANK"))
    with world.session() as session:
        assert session.get_one(TapeLibrary, NAME).old is not None


def test_a_tape_exchanged_by_hand_right_after_the_inventory_is_no_lie(world: LibraryWorld) -> None:
    """The robot is asked again before its barcode is doubted; the run uses the tape that is there now."""
    world.begin("monthly")
    world.drain(Plan({("moved", 1): _after_the_next_answer(world)}))
    with world.session() as session:
        states = set(session.scalars(select(TapeCartridge.state)))
        [ended] = session.scalars(select(ChainRun.state))
    told = "\n".join(checks.story(world))
    assert states == {CartridgeState.ACTIVE}, told
    assert ended is RunState.SUCCEEDED, told
    assert library.read(world.hall.path).bays[0].cartridge == "BLANK2"


def _after_the_next_answer(world: LibraryWorld) -> fates.Strike:
    """Somebody exchanges the tape in the drive once the robot has answered what is where."""

    def strike(name: str) -> None:
        process = world.points.process
        assert process
        if name != "look":
            process.plan.postpone(strike)
            return
        world.hall.into_drive(NUMBERS["tape0"], "BLANK2")

    return strike
