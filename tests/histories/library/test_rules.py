"""The rules of a library, each as a plain history that ends badly without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select

from db.models import TapeCartridge
from db.runs import transitions
from db.states import RunState
from policy.tapes.facts import CartridgeState
from tape.virtual import library
from tests.histories import checks
from tests.histories.library.hall import NUMBERS
from tests.histories.library.stage import Place
from tests.histories.library.world import LibraryWorld
from tests.histories.machinery import fates, shelf
from tests.histories.machinery.points import Plan
from tests.histories.world import Parts

EXPIRED = shelf.GOOD[1]
BLANK = shelf.Cartridge("BLANK")


@pytest.fixture
def world(staged: tuple[Parts, Place]) -> Iterator[LibraryWorld]:
    """A tape past retention in the first slot, a blank one in the second; a drive reads no sticker."""
    made = LibraryWorld(*staged)
    made.set_up_library(tapes=(EXPIRED, BLANK), two_hosts=True, chips_have_barcodes=False)
    made.schedule("monthly", "tape0", "one", tape_policy="rotate")
    made.schedule("other", "tape1", "two", tape_policy="rotate")
    yield made
    made.close()


def state_of(world: LibraryWorld, run_id: int) -> RunState:
    with world.session() as session:
        return transitions.get(session, run_id).state


def tape_in(world: LibraryWorld, drive: str) -> str | None:
    return library.read(world.hall.path).bays[NUMBERS[drive]].cartridge


def at(world: LibraryWorld, point: str, what: Callable[[], object]) -> Plan:
    """Something that others do the first time that this point is passed."""
    return Plan({(point, 1): fates._beside(world, lambda _: what() and None)})


def told(world: LibraryWorld) -> str:
    return "\n".join(checks.story(world))


def test_an_old_sticker_is_found_and_its_cartridge_is_not_fetched_again(world: LibraryWorld) -> None:
    """The row knows the tape by its chip, under another barcode. Nothing is formatted but the blank tape, and
    no later run fetches the cartridge that is in doubt."""
    world.hall.lie("EXPIRED", "OTHER")
    world.hall.put(2, None)
    first = world.begin("monthly")
    world.drain()
    assert state_of(world, first) is RunState.FAILED, told(world)
    assert world.ledger.formats == {}
    with world.session() as session:
        row = session.scalars(select(TapeCartridge).where(TapeCartridge.barcode == "EXPIRED")).one()
        assert row.state is CartridgeState.UNKNOWN
    world.unload("tape0")
    second = world.begin("monthly")
    world.drain()
    assert world.hall.loads[second, "OTHER"] == 0, told(world)
    world.hall.put(2, "BLANK")
    third = world.begin("monthly")
    world.drain()
    assert state_of(world, third) is RunState.SUCCEEDED, told(world)
    assert set(world.ledger.formats.values()) == {"BLANK"}
    checks.check(world)


def test_no_run_is_admitted_while_a_person_moves_its_tape(world: LibraryWorld) -> None:
    """It waits in the queue until the move is made, and then uses what is in the drive."""
    runs, states = [], []

    def begin() -> None:
        runs.append(world.begin("monthly"))
        states.append(state_of(world, runs[0]))

    world.by_button("load", 2, NUMBERS["tape0"], "tape0")
    world.drain(at(world, "moving", begin))
    assert states == [RunState.QUEUED], told(world)
    world.settle()
    checks.check(world)
    assert state_of(world, runs[0]) is RunState.SUCCEEDED, told(world)


@pytest.mark.parametrize("point", ["create", "unmounted", "labelled", "sent"])
def test_no_person_takes_the_tape_of_a_run(world: LibraryWorld, point: str) -> None:
    """Neither while it is mounted nor between two steps: the command is refused, and the run goes on."""
    run = world.begin("monthly")
    inside = []

    def unload() -> None:
        before = tape_in(world, "tape0")
        world.unload("tape0")
        inside.append((before, tape_in(world, "tape0")))

    world.drain(at(world, point, unload))
    [(before, after)] = inside
    assert before == after, told(world)
    checks.check(world)
    assert state_of(world, run) is RunState.SUCCEEDED, told(world)


def test_the_robot_moves_for_one_host_at_a_time(world: LibraryWorld) -> None:
    """While it moves for the first drive, the other host's command is refused; afterwards it is obeyed."""
    world.begin("monthly")
    world.drain(at(world, "moving", lambda: world.load("tape1", 1)))
    assert tape_in(world, "tape1") is None
    world.load("tape1", 1)
    assert tape_in(world, "tape1") == "EXPIRED"
    checks.check(world)
