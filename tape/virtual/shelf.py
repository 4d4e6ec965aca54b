"""The shelf of a virtual drive: its cartridges, as an operator handles them beside the drive."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from policy.errors import UsageError
from policy.message import M
from tape.durable import write_json
from tape.errors import DriveError, NoMedium
from tape.hostlock import HostLock
from tape.virtual import record as virtual_record
from tape.virtual.faults import Fault
from tape.virtual.record import DamagedRecord, Record

DRIVE_FILE = "drive.json"
MOUNT_LOCK = "mount.lock"
CARTRIDGES = "cartridges"
DIRTY = "dirty"
"""Its file is there while the drive asks to be cleaned."""
VERSION = 1
# A barcode is a folder's name here; LTO's own are eight letters and digits.
_BARCODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def new_cartridge(
    path: Path,
    barcode: str,
    *,
    capacity: int,
    speed: int | None = None,
    format_seconds: float = 0.0,
    write_protected: bool = False,
    foreign: bool = False,
    medium_serial: str | None = None,
    cleaning: int | None = None,
) -> None:
    """Put a new, blank cartridge on the shelf of the drive in ``path``; it is not inserted.

    ``capacity`` in bytes, ``speed`` in bytes a second (None: as fast as the disk). ``medium_serial``:
    invented if not given. ``foreign``: another program has written it. ``cleaning``: it cleans so often.
    Raises UsageError for a barcode that is taken or breaks the rule, or a size of zero.
    """
    _check(barcode, capacity, speed, format_seconds)
    record = Record(
        barcode=barcode,
        medium_serial=medium_serial or f"V{uuid.uuid4().hex[:9].upper()}",
        capacity=capacity,
        speed=speed,
        format_seconds=format_seconds,
        write_protected=write_protected,
        foreign=foreign,
        cleaning=cleaning,
    )
    folder = folder_of(path, barcode)
    with _shelf_errors(path):
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
        except FileExistsError as error:
            raise UsageError(
                M("There is a cartridge {barcode} already.", barcode=barcode), M("Give another barcode.")
            ) from error
        virtual_record.write(folder, record)


def barcodes(path: Path) -> list[str]:
    """The barcodes of all cartridges of a drive, sorted."""
    with _shelf_errors(path):
        shelf = path / CARTRIDGES
        folders = shelf.iterdir() if shelf.is_dir() else ()
        return sorted(folder.name for folder in folders if folder.is_dir())


def named(path: Path, name: str, inside: str | None) -> str:
    """The barcode of the cartridge that has ``name`` as its barcode, label or serial, else ``name`` itself.

    ``inside``: the barcode of the one in the drive, which is meant if several have the name. Raises NoMedium
    if several on the shelf have it.
    """
    known = barcodes(path)
    if name in known:
        return name
    matching = [barcode for barcode in known if name in _names(folder_of(path, barcode))]
    if inside in matching:
        return str(inside)
    if len(matching) > 1:
        raise NoMedium(
            M("Several cartridges are called {name}: {barcodes}.", name=name, barcodes=", ".join(matching)),
            M("Name one by its barcode."),
        )
    return matching[0] if matching else name


def _names(folder: Path) -> set[str | None]:
    """The other names of a cartridge besides its barcode; none if its record cannot be read."""
    try:
        record = virtual_record.read(folder)
    except DamagedRecord:
        return set()
    volume = record.volume
    return {record.medium_serial} | ({volume.label, volume.serial} if volume else set())


def insert(path: Path, barcode: str) -> None:
    """Insert a cartridge into the drive; another one there goes back to its shelf.

    Raises NoMedium if there is no such cartridge, DriveBusy while one is mounted.
    """
    folder = folder_of(path, barcode)
    if not _BARCODE.fullmatch(barcode) or not folder.is_dir():
        raise NoMedium(
            M("There is no cartridge {barcode}.", barcode=barcode),
            M("Cartridges of this drive: {known}.", known=", ".join(barcodes(path)) or "-"),
        )
    with HostLock(path / MOUNT_LOCK):
        _count_load(path, folder)
        _put(path, barcode)


def remove(path: Path) -> None:
    """Eject the cartridge; an empty drive stays empty. Raises DriveBusy while it is mounted."""
    if not (path / DRIVE_FILE).exists():
        return
    with HostLock(path / MOUNT_LOCK):
        _put(path, None)


def inserted(path: Path) -> str | None:
    """The barcode of the cartridge in the drive, None if it is empty. Raises DriveError."""
    try:
        return _loaded(json.loads((path / DRIVE_FILE).read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DriveError(
            M(
                "What is in the virtual drive {path} is not known: {reason}.",
                path=str(path),
                reason=str(error),
            ),
            M("Insert the cartridge again."),
        ) from error


def _loaded(data: dict[str, Any]) -> str | None:
    barcode = data["loaded"]
    if data["version"] != VERSION or not (barcode is None or _BARCODE.fullmatch(barcode)):
        raise ValueError("unknown content")
    return None if barcode is None else str(barcode)


def set_faults(path: Path, barcode: str, faults: Sequence[Mapping[str, Any]]) -> None:
    """Give a cartridge a new fault plan (see tape.virtual.faults), also while it is mounted.

    Raises UsageError for an impossible plan.
    """
    try:
        plan = [Fault(**fault) for fault in faults]
    except (TypeError, ValueError) as error:
        raise UsageError(
            M("The fault plan is wrong: {reason}.", reason=str(error)), M("See tape/virtual/faults.py.")
        ) from error
    with edit(path, barcode) as record:
        record.faults = plan


def set_write_protected(path: Path, barcode: str, *, on: bool) -> None:
    """Move the write-protect switch of a cartridge."""
    with edit(path, barcode) as record:
        record.write_protected = on


@contextmanager
def edit(path: Path, barcode: str) -> Iterator[Record]:
    """Change the record of a cartridge. Raises DriveError if it cannot be read or written."""
    with _shelf_errors(path), virtual_record.editing(folder_of(path, barcode)) as record:
        yield record


def folder_of(path: Path, barcode: str) -> Path:
    """The folder of a cartridge."""
    return path / CARTRIDGES / barcode


def _check(barcode: str, capacity: int, speed: int | None, format_seconds: float) -> None:
    if not _BARCODE.fullmatch(barcode):
        raise UsageError(
            M("The barcode '{barcode}' breaks the rule for barcodes.", barcode=barcode),
            M("Use 1 to 32 of the characters A-Z a-z 0-9 _ - and begin with a letter or a digit."),
        )
    if capacity <= 0 or (speed is not None and speed <= 0) or format_seconds < 0:
        raise UsageError(
            M("A cartridge needs a capacity and a speed above nought."),
            M("Give the capacity in bytes, the speed in bytes a second and the time of a format in seconds."),
        )


def _put(path: Path, barcode: str | None) -> None:
    with _shelf_errors(path):
        write_json(path / DRIVE_FILE, {"version": VERSION, "loaded": barcode})


def _count_load(path: Path, folder: Path) -> None:
    # A damaged cartridge can be inserted too; an inspection reports its state.
    with _shelf_errors(folder), suppress(DamagedRecord), virtual_record.editing(folder) as record:
        record.loads += 1
        if record.cleaning:
            record.cleaning -= 1
            (path / DIRTY).unlink(missing_ok=True)


def set_dirty(path: Path) -> None:
    """From now on the drive asks to be cleaned, until a cleaning cartridge is loaded."""
    path.mkdir(parents=True, exist_ok=True)
    (path / DIRTY).touch()


@contextmanager
def _shelf_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, DamagedRecord) as error:
        raise DriveError(
            M("The virtual drive {path} cannot be used: {reason}.", path=str(path), reason=str(error)),
            M("See that this user may write there and that the disk has room."),
        ) from error
