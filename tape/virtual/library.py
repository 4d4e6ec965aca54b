"""A virtual library: slots, mail slots and the virtual drives of one shelf, as an operator and the robot
handle them.

``library.json`` records which cartridge is where. A move is recorded before it begins, so that one that was
cut off is finished by the next question, as a real robot finishes it. No cartridge is ever in two places, or
in none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from policy.errors import UsageError
from policy.message import M
from tape.changer import Bay, Inventory, Slot
from tape.durable import write_json
from tape.errors import ChangerError, DriveError
from tape.virtual import faults, shelf
from tape.virtual import record as virtual_record
from tape.virtual.faults import Fault

FILE = "library.json"
VERSION = 1


class Refusal(StrEnum):
    """Why the robot did not do what it was asked."""

    BUSY = "busy"
    DOOR_OPEN = "door"
    SLOT_EMPTY = "slot_empty"
    SLOT_FULL = "slot_full"
    DRIVE_EMPTY = "drive_empty"
    DRIVE_FULL = "drive_full"
    FAILED = "failed"
    NO_SUCH = "no_such"


class RobotRefused(Exception):
    """The robot's answer; the driver translates it."""

    def __init__(self, why: Refusal, detail: str = "") -> None:
        super().__init__(detail or why.value)
        self.why = why


@dataclass
class InDrive:
    """What the robot has put into a drive; ``home``: the slot that it came from."""

    cartridge: str | None = None
    home: int | None = None


@dataclass
class Move:
    """A move under way. Places are ``("slot", n)`` and ``("drive", n)``."""

    cartridge: str
    source: tuple[str, int]
    target: tuple[str, int]


@dataclass
class Library:
    """The state of a virtual library."""

    drives: dict[int, str]
    """The folder of each drive, by its number."""
    slots: dict[int, str | None]
    mail: list[int]
    bays: dict[int, InDrive]
    stickers: dict[str, str | None] = field(default_factory=dict)
    """Barcodes that differ from the cartridge's own; None: it cannot be read."""
    moving: Move | None = None
    gripper: Move | None = None
    """A move that failed halfway: the robot has the cartridge until it takes a new inventory."""
    door_open: bool = False
    disturbed: bool = False
    """Somebody has opened the door, or it was started again, since the last question."""
    needs_eject: bool = False
    """The robot grasps only what the drive has ejected."""
    move_seconds: float = 0.0
    faults: list[Fault] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {"version": VERSION, **asdict(self), "faults": [fault.to_json() for fault in self.faults]}


def make(
    path: Path,
    drives: Mapping[int, Path],
    *,
    slots: int,
    mail_slots: int = 0,
    move_seconds: float = 0.0,
    needs_eject: bool = False,
) -> None:
    """Make a library in a folder, or keep the one that is there. The drives' folders get its cartridges.

    Raises UsageError if a drive has cartridges of its own.
    """
    (path / shelf.CARTRIDGES).mkdir(parents=True, exist_ok=True)
    for folder in drives.values():
        _share(path / shelf.CARTRIDGES, folder)
    if not (path / FILE).exists():
        numbers = range(1, slots + mail_slots + 1)
        library = Library(
            drives={number: str(folder) for number, folder in drives.items()},
            slots=dict.fromkeys(numbers, None),
            mail=list(numbers[slots:]),
            bays={number: InDrive() for number in drives},
            move_seconds=move_seconds,
            needs_eject=needs_eject,
        )
        write_json(path / FILE, library.to_json())
        return
    with edit(path) as library:
        library.drives |= {number: str(folder) for number, folder in drives.items()}
        library.bays = {number: library.bays.get(number, InDrive()) for number in library.drives}
        library.move_seconds, library.needs_eject = move_seconds, needs_eject


def _share(cartridges: Path, drive: Path) -> None:
    """Let a drive use the cartridges of its library."""
    drive.mkdir(parents=True, exist_ok=True)
    own = drive / shelf.CARTRIDGES
    if own.exists() and own.samefile(cartridges):
        return
    if own.is_dir() and not any(own.iterdir()):
        own.rmdir()
    if own.exists() or own.is_symlink():
        raise UsageError(
            M("The virtual drive {path} has cartridges of its own.", path=str(drive)),
            M("Give the library drives of their own, each in an empty folder."),
        )
    own.symlink_to(cartridges, target_is_directory=True)


def read(path: Path) -> Library:
    """Raises ChangerError."""
    try:
        return _library(json.loads((path / FILE).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ChangerError(
            M("The virtual library {path} cannot be used: {reason}.", path=str(path), reason=str(error)),
            M("See that this user may write there; make it anew if its library.json is damaged."),
        ) from error


def _library(data: dict[str, Any]) -> Library:
    if data.pop("version") != VERSION:
        raise ValueError("another version")
    for name in ("moving", "gripper"):
        if data[name] is not None:
            move = data[name]
            data[name] = Move(move["cartridge"], tuple(move["source"]), tuple(move["target"]))
    return Library(
        **{
            **data,
            "drives": _by_number(data["drives"]),
            "slots": _by_number(data["slots"]),
            "bays": {number: InDrive(**bay) for number, bay in _by_number(data["bays"]).items()},
            "faults": [Fault(**fault) for fault in data["faults"]],
        }
    )


def _by_number(data: dict[str, Any]) -> dict[int, Any]:
    """JSON has no other keys than texts."""
    return {int(number): value for number, value in data.items()}


@contextmanager
def edit(path: Path) -> Iterator[Library]:
    """Change the library while no other process does. Raises ChangerError."""
    with virtual_record.locked(path / "library.lock"):
        library = read(path)
        _follow_hands(library)
        try:
            yield library
        except RobotRefused:
            # A refusal counts in the fault plan, too.
            write_json(path / FILE, library.to_json())
            raise
        write_json(path / FILE, library.to_json())


def _follow_hands(library: Library) -> None:
    """A cartridge that somebody put into a drive by hand is in no slot any more, and came from none."""
    for number, folder in library.drives.items():
        inside = shelf.inserted(Path(folder))
        if inside is None or library.bays[number].cartridge == inside:
            continue
        if library.moving is not None and library.moving.cartridge == inside:
            continue
        _take_everywhere(library, inside)
        library.bays[number] = InDrive(inside)


def _take_everywhere(library: Library, cartridge: str) -> None:
    library.slots = {number: None if held == cartridge else held for number, held in library.slots.items()}
    for number, bay in library.bays.items():
        if bay.cartridge == cartridge:
            library.bays[number] = InDrive()


# What an operator does by hand.


def put(path: Path, slot: int, cartridge: str | None) -> None:
    """Put a cartridge into a slot by hand, from anywhere; None: take out what is there. A mail slot is
    reached without opening the door."""
    with edit(path) as library:
        if cartridge is not None:
            _take_everywhere(library, cartridge)
        library.slots[slot] = cartridge
        library.disturbed = library.disturbed or slot not in library.mail


def exchange(path: Path, one: int, other: int) -> None:
    """Exchange the contents of two slots by hand."""
    with edit(path) as library:
        library.slots[one], library.slots[other] = library.slots[other], library.slots[one]
        library.disturbed = True


def set_door(path: Path, *, is_open: bool) -> None:
    """Open or close the door."""
    with edit(path) as library:
        library.door_open = is_open
        library.disturbed = library.disturbed or is_open


def set_sticker(path: Path, cartridge: str, barcode: str | None) -> None:
    """Put another barcode on a cartridge; None: one that cannot be read."""
    with edit(path) as library:
        library.stickers[cartridge] = barcode


def set_faults(path: Path, plan: Sequence[Mapping[str, Any]]) -> None:
    """Give the robot a fault plan (see tape.virtual.faults). Raises UsageError for an impossible one."""
    try:
        wanted = [Fault(**fault) for fault in plan]
    except (TypeError, ValueError) as error:
        raise UsageError(
            M("The fault plan is wrong: {reason}.", reason=str(error)), M("See tape/virtual/faults.py.")
        ) from error
    with edit(path) as library:
        library.faults = wanted


# What the robot does. Only one process at a time may ask it.


def status(path: Path, verb: str = "status") -> Inventory:
    """What is where; nothing moves. ``verb``: ``inventory`` reads every barcode again.

    Raises RobotRefused.
    """
    with edit(path) as library:
        _settle(library)
        fault = _refused(library, verb)
        if verb == "inventory" and library.gripper is not None:
            # A robot that starts anew puts back what it still has.
            _arrive(library, library.gripper.cartridge, library.gripper.source)
            library.gripper = None
        disturbed, library.disturbed = library.disturbed, False
        inventory = inventory_of(library, disturbed=disturbed and verb == "status")
    faults.wait(fault)
    return inventory


def move(path: Path, verb: str, source: tuple[str, int], target: tuple[str, int]) -> None:
    """Move a cartridge. ``verb``: ``load``, ``unload`` or ``move``, for the fault plan.

    Raises RobotRefused.
    """
    with edit(path) as library:
        _settle(library)
        fault = _refused(library, verb)
        moving = _begun(library, source, target)
        if fault and fault.error == "before":
            raise RobotRefused(Refusal.FAILED)
        library.moving = moving
    time.sleep(library.move_seconds + ((fault.seconds if fault else None) or 0))
    with edit(path) as library:
        if fault and fault.error == "lost":
            _take_everywhere(library, moving.cartridge)
            library.moving, library.gripper = None, moving
        _settle(library)
    if fault and fault.error in {"after", "lost"}:
        raise RobotRefused(Refusal.FAILED)


def _begun(library: Library, source: tuple[str, int], target: tuple[str, int]) -> Move:
    cartridge = _at(library, source)
    if cartridge is None:
        raise RobotRefused(Refusal.DRIVE_EMPTY if source[0] == "drive" else Refusal.SLOT_EMPTY)
    if source == target or _at(library, target) is not None:
        raise RobotRefused(Refusal.DRIVE_FULL if target[0] == "drive" else Refusal.SLOT_FULL)
    if source[0] == "drive" and not _lets_go(library, source[1]):
        raise RobotRefused(Refusal.FAILED, "the drive has not let go of the cartridge")
    return Move(cartridge, source, target)


def _lets_go(library: Library, number: int) -> bool:
    """Whether a drive gives up its cartridge: ejected already, or by itself, unless it is mounted."""
    folder = Path(library.drives[number])
    if shelf.inserted(folder) is None:
        return True
    if library.needs_eject:
        return False
    try:
        shelf.remove(folder)
    except DriveError:
        return False
    return True


def _refused(library: Library, verb: str) -> Fault | None:
    """The fault planned for a verb, counted. Raises RobotRefused if the robot does not even begin."""
    fault = faults.take(library.faults, verb)
    if fault and fault.error == "busy":
        raise RobotRefused(Refusal.BUSY)
    if library.door_open or (fault and fault.error == "door"):
        raise RobotRefused(Refusal.DOOR_OPEN)
    return fault


def _settle(library: Library) -> None:
    """Finish the move under way. Done twice, it changes nothing."""
    moving, library.moving = library.moving, None
    if moving is not None:
        _arrive(library, moving.cartridge, moving.target, moving.source)


def _arrive(
    library: Library, cartridge: str, target: tuple[str, int], source: tuple[str, int] | None = None
) -> None:
    kind, number = target
    _take_everywhere(library, cartridge)
    if kind == "slot":
        library.slots[number] = cartridge
        return
    library.bays[number] = InDrive(cartridge, source[1] if source else None)
    folder = Path(library.drives[number])
    if shelf.inserted(folder) != cartridge:
        shelf.insert(folder, cartridge)


def _at(library: Library, place: tuple[str, int]) -> str | None:
    """The cartridge in a place. Raises RobotRefused if there is no such place."""
    kind, number = place
    try:
        return library.slots[number] if kind == "slot" else library.bays[number].cartridge
    except KeyError:
        raise RobotRefused(Refusal.NO_SUCH, f"there is no {kind} {number}") from None


def inventory_of(library: Library, *, disturbed: bool = False) -> Inventory:
    """What is where, as the stickers tell."""
    slots = tuple(
        Slot(number, held is not None, _sticker(library, held), number in library.mail)
        for number, held in sorted(library.slots.items())
    )
    bays = tuple(
        Bay(number, bay.cartridge is not None, _sticker(library, bay.cartridge), bay.home)
        for number, bay in sorted(library.bays.items())
    )
    return Inventory(slots, bays, disturbed=disturbed)


def _sticker(library: Library, cartridge: str | None) -> str | None:
    return library.stickers.get(cartridge, cartridge) if cartridge else None
