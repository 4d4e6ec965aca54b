"""A stand-in for mtx, which prints what the real one does, over a virtual library as its hardware.

The device is the library's folder. Its words are those of mtx 1.3.12; its sense codes are the robot's.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tape.changer import Bay, Inventory, Slot
from tape.virtual import library
from tape.virtual.library import Refusal, RobotRefused

PAD = 32
"""Places of a volume tag: mtx prints what the changer reports, with its blanks."""
DRIVES_AT, SLOTS_AT = 256, 4096
"""Element addresses."""

SENSES = {
    Refusal.DOOR_OPEN: ("Not Ready", 0x04, 0x83),
    Refusal.BUSY: ("Not Ready", 0x04, 0x01),
    Refusal.FAILED: ("Hardware Error", 0x15, 0x01),
}


def main() -> int:
    """``mtx -f DEVICE VERB [NUMBERS]``."""
    option, device, verb, *numbers = sys.argv[1:]
    assert option == "-f"
    path = Path(device)
    if not path.is_dir():
        sys.stderr.write(f"cannot open SCSI device '{device}' - No such file or directory\n")
        return 1
    if (path / "attention").exists():
        (path / "attention").unlink()
        return fail(("Unit Attention", 0x28, 0x00), "READ ELEMENT STATUS Command Failed")
    try:
        return VERBS[verb](path, *map(int, numbers))
    except RobotRefused as refused:
        return fail(SENSES[refused.why], "READ ELEMENT STATUS Command Failed")


def status(path: Path) -> int:
    found = library.status(path)
    mail = sum(slot.is_mail for slot in found.slots)
    counts = f"{len(found.bays)} Drives, {len(found.slots)} Slots ( {mail} Import/Export )"
    head = f"  Storage Changer {path}:{counts}"
    sys.stdout.write("\n".join([head, *map(of_bay, found.bays), *map(of_slot, found.slots)]) + "\n")
    return 0


def of_bay(bay: Bay) -> str:
    if not bay.full:
        return f"Data Transfer Element {bay.number}:Empty"
    home = "Unknown Storage Element" if bay.home is None else f"Storage Element {bay.home}"
    tag = f":VolumeTag = {bay.barcode.ljust(PAD)}" if bay.barcode else ""
    return f"Data Transfer Element {bay.number}:Full ({home} Loaded){tag}"


def of_slot(slot: Slot) -> str:
    name = f"      Storage Element {slot.number}{' IMPORT/EXPORT' if slot.is_mail else ''}"
    if not slot.full:
        return f"{name}:Empty"
    return f"{name}:Full :VolumeTag={slot.barcode.ljust(PAD)}" if slot.barcode else f"{name}:Full "


def inventory(path: Path) -> int:
    try:
        library.status(path, "inventory")
    except RobotRefused as refused:
        return fail(SENSES[refused.why], "mtx:inventory failed")
    return 0


def load(path: Path, number: int, drive: int = 0) -> int:
    found = look(path)
    bay = found.bay(drive)
    if bay is None or bay.full:
        home = bay.home if bay else None
        sys.stderr.write(f"Drive {drive} Full (Storage Element {home or 0} loaded)\n")
        return 1
    said = f"Loading media from Storage Element {number} into drive {drive}..."
    return move(path, "load", ("slot", number), ("drive", drive), said)


def unload(path: Path, number: int, drive: int = 0) -> int:
    found = look(path)
    bay, slot = found.bay(drive), found.slot(number)
    if bay is None or not bay.full:
        sys.stderr.write(f"Data Transfer Element {drive} is Empty\n")
        return 1
    if slot is None or slot.full:
        sys.stderr.write(f"Storage Element {number} is Already Full\n")
        return 1
    said = f"Unloading drive {drive} into Storage Element {number}..."
    return move(path, "unload", ("drive", drive), ("slot", number), said)


def transfer(path: Path, source: int, target: int) -> int:
    return move(path, "move", ("slot", source), ("slot", target), "")


def look(path: Path) -> Inventory:
    """mtx reads the status before each move; the plan of faults counts only what it is asked for."""
    return library.inventory_of(library.read(path))


def move(path: Path, verb: str, source: tuple[str, int], target: tuple[str, int], said: str) -> int:
    sys.stdout.write(said)
    sys.stdout.flush()
    try:
        library.move(path, verb, source, target)
    except RobotRefused as refused:
        return moved_not(refused, address(source), address(target))
    if said:
        sys.stdout.write("done\n")
    return 0


def moved_not(refused: RobotRefused, source: int, target: int) -> int:
    sys.stdout.write("\n")
    if refused.why in {Refusal.SLOT_EMPTY, Refusal.NO_SUCH}:
        sys.stderr.write(f"Source Element Address {source} is Empty\n")
        return 1
    if refused.why is Refusal.SLOT_FULL:
        sys.stderr.write(f"Destination Element Address {target} is Already Full\n")
        return 1
    return fail(SENSES[refused.why], f"MOVE MEDIUM from Element Address {source} to {target} Failed")


def address(place: tuple[str, int]) -> int:
    kind, number = place
    return DRIVES_AT + number if kind == "drive" else SLOTS_AT + number - 1


def fail(sense: tuple[str, int, int], last: str) -> int:
    key, code, qualifier = sense
    lines = (
        "Long Report=yes",
        "Valid Residual=no",
        "Error Code=70 (Current)",
        f"Sense Key={key}",
        "FileMark=no",
        "EOM=no",
        "ILI=no",
        f"Additional Sense Code = {code:02X}",
        f"Additional Sense Qualifier = {qualifier:02X}",
        "BPV=no",
        "Error in CDB=no",
        "SKSV=no",
    )
    sys.stderr.write("".join(f"mtx: Request Sense: {line}\n" for line in lines) + f"{last}\n")
    return 1


VERBS = {"status": status, "inventory": inventory, "load": load, "unload": unload, "transfer": transfer}


def sg_raw() -> int:
    """``sg_raw -r N -o FILE DEVICE b8 …``: READ ELEMENT STATUS of the drives, with their identification."""
    *_, answer, device = sys.argv[1:6]
    assert sys.argv[6:] == ["b8", "04", "00", "00", "ff", "ff", "01", "00", "ff", "ff", "00", "00"]
    drives = library.read(Path(device)).drives
    if not drives or (Path(device) / "tells_no_serials").exists():
        sys.stderr.write(">>> transport error: illegal request\n")
        return 5
    described = [descriptor(number, Path(folder).name) for number, folder in sorted(drives.items())]
    size = sum(map(len, described))
    page = bytes([4, 0x80]) + len(described[0]).to_bytes(2) + b"\0" + size.to_bytes(3) + b"".join(described)
    head = DRIVES_AT.to_bytes(2) + len(drives).to_bytes(2) + b"\0" + len(page).to_bytes(3)
    Path(answer).write_bytes(head + page)
    return 0


def descriptor(number: int, serial: str) -> bytes:
    """An element descriptor with a volume tag and the drive's identification (T10 vendor id)."""
    identity = f"IBM     ULT3580-TD9     {serial.upper():<10}".encode()
    fixed = (DRIVES_AT + number).to_bytes(2) + bytes(10)
    return fixed + bytes(36) + bytes([2, 1, 0, len(identity)]) + identity
