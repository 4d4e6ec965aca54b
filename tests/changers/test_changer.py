"""The contract of a changer: what is where, what moves, and what it refuses."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from tape.changer import Bay, Inventory, Slot
from tape.drive import MediumState
from tape.errors import (
    ChangerError,
    DoorOpen,
    DriveEmpty,
    DriveFull,
    MoveFailed,
    RobotBusy,
    SlotEmpty,
    SlotFull,
)
from tape.virtual import library
from tests.changers.rig import MAIL_SLOT, Rig


def test_an_empty_library_shows_its_places(rig: Rig) -> None:
    """Slots count from 1, mail slots come last, drives count from 0."""
    found = rig.changer.status()
    assert [slot.number for slot in found.slots] == [1, 2, 3, 4, 5]
    assert [slot.is_mail for slot in found.slots] == [False] * 4 + [True]
    assert found.bays == (Bay(0, full=False), Bay(1, full=False))
    assert not any(slot.full for slot in found.slots)
    assert not found.disturbed


def test_barcodes_are_read_without_their_padding(rig: Rig) -> None:
    """A cartridge whose barcode cannot be read is there, without one."""
    rig.new("TP0001L9", 1)
    rig.new("TP0002L9", 3)
    library.set_sticker(rig.path, "TP0002L9", None)
    found = rig.changer.status()
    assert found.slot(1) == Slot(1, full=True, barcode="TP0001L9")
    assert found.slot(3) == Slot(3, full=True, barcode=None)


def test_two_with_the_same_barcode_are_named(rig: Rig) -> None:
    rig.new("TP0001L9", 1)
    rig.new("TP0002L9", 2)
    rig.new("TP0003L9", 3)
    library.set_sticker(rig.path, "TP0002L9", "TP0001L9")
    assert rig.changer.status().duplicates == {"TP0001L9"}


def test_a_cartridge_is_loaded_and_knows_where_it_came_from(rig: Rig) -> None:
    """After a load the drive has the tape; after an unload to another slot, that slot."""
    rig.new("TP0001L9", 2)
    rig.changer.load(2, 1)
    found = rig.changer.status()
    assert found.bay(1) == Bay(1, full=True, barcode="TP0001L9", home=2)
    assert found.slot(2) == Slot(2, full=False)
    assert rig.drives[1].look().barcode == "TP0001L9"
    rig.drives[1].eject()
    rig.changer.unload(1, 4)
    found = rig.changer.status()
    assert found.bay(1) == Bay(1, full=False)
    assert found.slot(4) == Slot(4, full=True, barcode="TP0001L9")
    assert rig.drives[1].look().state is MediumState.NO_MEDIUM


def test_a_cartridge_goes_into_the_mail_slot_and_comes_from_it(rig: Rig) -> None:
    rig.new("TP0001L9", 1)
    rig.changer.move(1, MAIL_SLOT)
    assert rig.changer.status().slot(MAIL_SLOT) == Slot(5, full=True, barcode="TP0001L9", is_mail=True)
    rig.changer.move(MAIL_SLOT, 3)
    assert rig.changer.status().slot(3) == Slot(3, full=True, barcode="TP0001L9")


def test_what_cannot_be_moved_is_refused_and_moves_nothing(rig: Rig) -> None:
    """Each refusal is a fact of its own, with a remedy."""
    rig.new("TP0001L9", 1)
    rig.new("TP0002L9", 2)
    rig.changer.load(1, 0)
    before = rig.changer.status()
    moves = [
        (SlotEmpty, lambda: rig.changer.load(3, 1)),
        (DriveFull, lambda: rig.changer.load(2, 0)),
        (DriveEmpty, lambda: rig.changer.unload(1, 4)),
        (SlotFull, lambda: rig.changer.unload(0, 2)),
        (SlotEmpty, lambda: rig.changer.move(3, 4)),
        (ChangerError, lambda: rig.changer.move(2, 2)),
    ]
    for kind, move in moves:
        with pytest.raises(kind) as refused:
            move()
        assert refused.value.remedy
    assert rig.changer.status() == before


@pytest.mark.parametrize(("fault", "kind"), [("busy", RobotBusy), ("door", DoorOpen)])
def test_a_robot_that_does_not_begin_has_moved_nothing(
    rig: Rig, fault: str, kind: type[ChangerError]
) -> None:
    """A busy robot passes; an open door is an operator's. Asked again, it works."""
    rig.new("TP0001L9", 1)
    for at, act in (("load", lambda: rig.changer.load(1, 0)), ("status", rig.changer.status)):
        library.set_faults(rig.path, [{"at": at, "error": fault}])
        with pytest.raises(kind):
            act()
    assert rig.changer.status().slot(1) == Slot(1, full=True, barcode="TP0001L9")
    rig.changer.load(1, 0)


@pytest.mark.parametrize(("fault", "is_there"), [("before", False), ("after", True), ("lost", False)])
def test_a_move_that_fails_is_found_by_a_new_inventory(rig: Rig, fault: str, is_there: bool) -> None:
    """The error does not tell where the cartridge is; an inventory does, and none is lost."""
    rig.new("TP0001L9", 1)
    library.set_faults(rig.path, [{"at": "load", "error": fault}])
    with pytest.raises(MoveFailed) as failed:
        rig.changer.load(1, 0)
    assert "inventory" in str(failed.value.remedy)
    if fault == "lost":
        assert rig.changer.status().barcodes == []
    found = rig.changer.inventory()
    assert found.barcodes == ["TP0001L9"]
    assert found.bay(0) == (Bay(0, True, "TP0001L9", 1) if is_there else Bay(0, full=False))


def test_what_the_drive_does_not_let_go_is_not_grasped(rig: Rig) -> None:
    """Some drives have to eject first; then the robot takes the cartridge."""
    rig.make(needs_eject=True)
    rig.new("TP0001L9", 1)
    rig.changer.load(1, 0)
    with pytest.raises(MoveFailed):
        rig.changer.unload(0, 1)
    assert rig.drives[0].look().barcode == "TP0001L9"
    rig.drives[0].eject()
    assert rig.changer.status().bay(0) == Bay(0, True, "TP0001L9", 1)
    rig.changer.unload(0, 1)
    assert rig.changer.status().slot(1) == Slot(1, True, "TP0001L9")


def test_a_mounted_tape_stays_in_its_drive(rig: Rig) -> None:
    rig.new("TP0001L9", 1)
    rig.changer.load(1, 0)
    assert rig.drives[0].format("TP20261101").return_code == 0
    with rig.drives[0].mount() as volume:
        with pytest.raises(MoveFailed):
            rig.changer.unload(0, 1)
        assert volume.names() == []
    assert rig.changer.status().bay(0) == Bay(0, True, "TP0001L9", 1)


def test_a_tape_put_in_by_hand_came_from_no_slot(rig: Rig) -> None:
    """It is in the drive, and can be read there; its slot is not known, and it is in no other place."""
    rig.new("TP0001L9", 1)
    rig.drives[0].load("TP0001L9")
    found = rig.changer.status()
    assert found.bay(0) == Bay(0, True, "TP0001L9", None)
    assert found.barcodes == ["TP0001L9"]


def test_an_opened_door_is_reported_once_and_the_question_is_asked_again(rig: Rig) -> None:
    """The first answer after it is given, and is marked: what the library knows may be old."""
    rig.new("TP0001L9", 1)
    rig.disturb()
    found = rig.changer.status()
    assert found.disturbed
    assert found.slot(1) == Slot(1, True, "TP0001L9")
    assert not rig.changer.status().disturbed
    rig.disturb()
    assert not rig.changer.inventory().disturbed
    assert not rig.changer.status().disturbed


def test_a_door_opened_before_a_move_is_reported_after_it(rig: Rig) -> None:
    """The changer tells only the first command: here the move, which is made; the next status reports it."""
    rig.new("TP0001L9", 1)
    rig.new("TP0002L9", 2)
    rig.disturb()
    rig.changer.load(1, 0)
    assert rig.changer.status().disturbed
    assert not rig.changer.status().disturbed
    rig.disturb()
    rig.changer.unload(0, 1)
    assert rig.changer.status().disturbed
    rig.disturb()
    rig.changer.move(2, 3)
    assert not rig.changer.inventory().disturbed
    assert not rig.changer.status().disturbed


def test_an_inventory_survives_json(rig: Rig) -> None:
    rig.new("TP0001L9", 1)
    rig.changer.load(1, 0)
    found = rig.changer.status()
    assert Inventory.from_json(found.to_json()) == found


def test_the_changer_tells_which_drive_has_which_number(rig: Rig) -> None:
    """By what identifies it: its serial number, or a virtual one's folder."""
    found = rig.changer.identities()
    assert sorted(found) == [0, 1]
    assert found[1].lower().endswith("tape1")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_robot_is_busy_while_it_moves_even_if_its_master_dies(rig: Rig, number: int) -> None:
    """Whoever dies in a move leaves no cartridge in two places or in none, and no robot that is used
    twice."""
    rig.new("TP0001L9", 1)
    rig.make(move_seconds=1.5)
    process = subprocess.Popen([sys.executable, "-c", f"{rig.recipe}\nchanger.load(1, 0)"])
    wait_until_moving(rig)
    with pytest.raises(RobotBusy):
        rig.changer.status()
    process.send_signal(number)
    process.wait(20)
    found = wait_for_status(rig)
    assert found.barcodes == ["TP0001L9"]
    assert found.bay(0) == Bay(0, True, "TP0001L9", 1)


def wait_until_moving(rig: Rig) -> None:
    ends = time.monotonic() + 20
    while library.read(rig.path).moving is None:
        assert time.monotonic() < ends
        time.sleep(0.02)


def wait_for_status(rig: Rig) -> Inventory:
    ends = time.monotonic() + 20
    while True:
        try:
            return rig.changer.status()
        except RobotBusy:
            assert time.monotonic() < ends
            time.sleep(0.05)
