"""What mtx prints: an inventory, and why it refused (mtx 1.3.12)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from policy.message import M
from tape.changer import Bay, Inventory, Slot
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
from tape.programs.command import Completed

_BAY = re.compile(
    r"^Data Transfer Element (?P<number>\d+):"
    r"(?P<full>Empty|Full(?: \((?:Unknown Storage Element|Storage Element (?P<home>\d+)) Loaded\))?)"
    r"(?P<tags>.*)$"
)
_SLOT = re.compile(
    r"^\s*Storage Element (?P<number>\d+)(?P<mail> IMPORT/EXPORT)?:(?P<full>Empty|Full)(?P<tags>.*)$"
)
# The tag ends where the next one begins; it is padded with blanks.
_TAG = re.compile(r":VolumeTag\s*=\s*(?P<tag>[^:]*)")
_HEADER = re.compile(r"^\s*Storage Changer .*:(?P<bays>\d+) Drives, (?P<slots>\d+) Slots")

_SENSE = re.compile(r"Additional Sense (Code|Qualifier) = ([0-9A-Fa-f]{2})")
_KEY = re.compile(r"Request Sense: Sense Key=(.+)")

UNIT_ATTENTION = "Unit Attention"
"""Reported once after a power cycle, an opened door or a mail slot, instead of the answer."""


def parse(text: str, mail_slots: Collection[int] = ()) -> Inventory | None:
    """The inventory that ``mtx status`` printed; None: it printed none, or not all of it.

    ``mail_slots``: numbers of mail slots that the changer reports as ordinary ones.
    """
    header = next((match for line in text.splitlines() if (match := _HEADER.match(line))), None)
    bays = tuple(_bay(match) for line in text.splitlines() if (match := _BAY.match(line)))
    slots = tuple(_slot(match, mail_slots) for line in text.splitlines() if (match := _SLOT.match(line)))
    if header is None or (len(bays), len(slots)) != (int(header["bays"]), int(header["slots"])):
        return None
    return Inventory(slots, bays)


def _bay(match: re.Match[str]) -> Bay:
    home = int(match["home"]) if match["home"] else None
    is_full = match["full"] != "Empty"
    return Bay(int(match["number"]), is_full, _tag(match) if is_full else None, home)


def _slot(match: re.Match[str], mail_slots: Collection[int]) -> Slot:
    number, is_full = int(match["number"]), match["full"] == "Full"
    is_mail = bool(match["mail"]) or number in mail_slots
    return Slot(number, is_full, _tag(match) if is_full else None, is_mail)


def _tag(match: re.Match[str]) -> str | None:
    tag = _TAG.search(match["tags"])
    return (tag["tag"].strip() or None) if tag else None


@dataclass(frozen=True, slots=True)
class Sense:
    """A sense code: the key in words, and the additional code with its qualifier."""

    key: str
    code: tuple[int, int]


def sense(text: str) -> Sense | None:
    """The last sense code in mtx's output, or None."""
    keys, codes = _KEY.findall(text), dict(_SENSE.findall(text))
    if not keys or "Code" not in codes:
        return None
    return Sense(keys[-1].strip(), (int(codes["Code"], 16), int(codes.get("Qualifier", "0"), 16)))


_WORDS: tuple[tuple[str, type[ChangerError]], ...] = (
    (r"Drive \d+ Full", DriveFull),
    (r"Data Transfer Element \d+ is Empty", DriveEmpty),
    (r"Storage Element \d+ is Already Full", SlotFull),
    (r"Destination Element Address \d+ is Already Full", SlotFull),
    (r"Source Element Address \d+ is Empty", SlotEmpty),
    (r"Do not know which slot", MoveFailed),
    (r"cannot open SCSI device .* (busy|Busy)", RobotBusy),
)
"""mtx's own refusals, before it asks the robot."""

_CODES: Mapping[tuple[int, int], type[ChangerError]] = {
    (0x3B, 0x0D): SlotFull,
    (0x3B, 0x0E): SlotEmpty,
    (0x04, 0x01): RobotBusy,  # becoming ready
    (0x04, 0x07): RobotBusy,  # an operation is in progress
    (0x04, 0x83): DoorOpen,
    (0x04, 0x89): DoorOpen,  # remote management has the robot
    (0x04, 0x8D): DoorOpen,  # the operator's panel has it
    (0x3B, 0x11): DoorOpen,  # the magazine is not accessible
    (0x3B, 0x12): DoorOpen,  # the magazine was removed
    (0x3B, 0x15): DoorOpen,  # the magazine is unlocked
    (0x53, 0x02): DoorOpen,  # removal is prevented: the tray is out, or the drive has not let go
}
"""Sense codes of SMC-3, and those that makers of autoloaders added."""


def failure(done: Completed, device: str, *, moving: bool) -> ChangerError:
    """What the end of an mtx command means. ``moving``: whether it was to move a cartridge."""
    text = done.output
    kind = next((kind for words, kind in _WORDS if re.search(words, text)), None)
    sense_data = sense(text)
    if kind is None and sense_data is not None:
        # A changer that is not ready for a reason of its maker's is in somebody's hands.
        kind = _CODES.get(sense_data.code, DoorOpen if sense_data.key == "Not Ready" else None)
    return _ERRORS[kind or (MoveFailed if moving else ChangerError)](_said(done, sense_data), device)


def _said(done: Completed, sense_data: Sense | None) -> str:
    lines = [line.strip() for line in done.output.splitlines() if line.strip()]
    words = [line for line in lines if not line.startswith("mtx: Request Sense")]
    text = words[-1] if words else f"{done.argv[0]}: {done.return_code}"
    if sense_data is None:
        return text
    code = "/".join(f"{part:02X}" for part in sense_data.code)
    return f"{text} ({sense_data.key}, {code})"


LOOK_INSIDE = M("Look into the library, then read a new inventory: tapeline library inventory")

_ERRORS: Mapping[type[ChangerError], Callable[[str, str], ChangerError]] = {
    RobotBusy: lambda said, device: RobotBusy(
        M("The robot at {device} is busy: {said}.", device=device, said=said),
        M("Wait a minute, then try again."),
    ),
    SlotEmpty: lambda said, device: SlotEmpty(
        M("The slot is empty ({device}: {said}).", device=device, said=said),
        M("Read a new inventory: tapeline library inventory"),
    ),
    SlotFull: lambda said, device: SlotFull(
        M("The slot is full ({device}: {said}).", device=device, said=said),
        M("Read a new inventory: tapeline library inventory"),
    ),
    DriveEmpty: lambda said, device: DriveEmpty(
        M("There is nothing in the drive to unload ({device}: {said}).", device=device, said=said),
        M("Read a new inventory: tapeline library inventory"),
    ),
    DriveFull: lambda said, device: DriveFull(
        M("There is a cartridge in the drive ({device}: {said}).", device=device, said=said),
        M("Unload it first: tapeline library unload"),
    ),
    DoorOpen: lambda said, device: DoorOpen(
        M("The library at {device} is open or in somebody's hands: {said}.", device=device, said=said),
        M("Close the door and the magazine, and leave the menu of its panel; then try again."),
    ),
    MoveFailed: lambda said, device: MoveFailed(
        M("The robot at {device} did not finish the move: {said}.", device=device, said=said), LOOK_INSIDE
    ),
    ChangerError: lambda said, device: ChangerError(
        M("The library at {device} refused: {said}.", device=device, said=said),
        M(
            "Check the setting 'device' ('lsscsi -g' lists the changer as mediumx), and that this user may"
            " open it."
        ),
    ),
}
