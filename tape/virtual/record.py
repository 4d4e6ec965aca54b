"""The record of a virtual cartridge: ``cartridge.json``, its chip and its index in one file.

Standard library only, since the format program reads it too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tape.durable import write_json
from tape.virtual.faults import Fault

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

VERSION = 1
FILE = "cartridge.json"
VOLUME = "volume"
LOST = "lost"


class DamagedRecord(Exception):
    """The record cannot be read, or its values are impossible."""


@dataclass
class VolumeRecord:
    """A formatted volume. ``files`` is its index: the sealed files and their sizes in bytes."""

    label: str
    serial: str | None
    uuid: str
    generation: int
    index_generation: int = 1
    used: int = 0
    """Bytes on the tape since the format, including lost ones: only the next format frees them."""
    read_only: bool = False
    """A write failed: nothing writes to it again."""
    end_lost: bool = False
    """The end of its data is not marked on the tape: it mounts once the end is found."""
    locked: bool = False
    """A program has locked it against writing on purpose."""
    files: dict[str, int] = field(default_factory=dict)


@dataclass
class Record:
    """A cartridge: sizes in bytes, ``speed`` in bytes a second (None: unlimited)."""

    barcode: str
    medium_serial: str
    capacity: int
    speed: int | None = None
    format_seconds: float = 0.0
    write_protected: bool = False
    foreign: bool = False
    """Another program has written it."""
    formatting: bool = False
    """A format began and did not end: neither blank nor formatted."""
    cleaning: int | None = None
    """A cleaning cartridge: how often it cleans yet. None: it is a tape."""
    formats: int = 0
    """How many times it was formatted."""
    volume: VolumeRecord | None = None
    loads: int = 0
    written_bytes: int = 0
    write_errors: int = 0
    read_errors: int = 0
    faults: list[Fault] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        faults = [fault.to_json() for fault in self.faults]
        return {"version": VERSION, **asdict(self), "faults": faults}


def read(folder: Path) -> Record:
    """The record of the cartridge in a folder. Raises DamagedRecord; anything missing or odd is damage."""
    try:
        data = json.loads((folder / FILE).read_bytes())
        return _record(data)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedRecord(f"{folder / FILE}: {error}") from error


@contextmanager
def editing(folder: Path) -> Iterator[Record]:
    """Read, change and write the record while no other process does. Raises DamagedRecord, OSError."""
    with locked(folder / "cartridge.lock"):
        record = read(folder)
        yield record
        write(folder, record)


def write(folder: Path, record: Record) -> None:
    """Replace the record atomically. Raises OSError."""
    write_json(folder / FILE, record.to_json())


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Take a lock file for a moment; waits for others."""
    with path.open("ab") as file:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _record(data: dict[str, Any]) -> Record:
    if data.pop("version") != VERSION:
        raise ValueError("another version")
    volume = data.pop("volume")
    faults = [Fault(**fault) for fault in data.pop("faults")]
    record = Record(**data, volume=None if volume is None else VolumeRecord(**volume), faults=faults)
    _check(record)
    return record


def _check(record: Record) -> None:
    sound = [
        isinstance(record.barcode, str),
        isinstance(record.medium_serial, str),
        _is_size(record.capacity),
        record.speed is None or (_is_size(record.speed) and record.speed > 0),
        isinstance(record.format_seconds, (int, float)),
        isinstance(record.write_protected, bool),
        isinstance(record.foreign, bool),
        isinstance(record.formatting, bool),
        record.cleaning is None or _is_size(record.cleaning),
        all(_is_size(number) for number in (record.formats, record.loads, record.written_bytes)),
        all(_is_size(number) for number in (record.write_errors, record.read_errors)),
    ]
    if not all(sound) or (record.volume and not _is_sound(record.volume)):
        raise ValueError("a value of the wrong kind")


def _is_sound(volume: VolumeRecord) -> bool:
    numbers = (volume.generation, volume.index_generation, volume.used, *volume.files.values())
    texts = (volume.label, volume.uuid, *volume.files)
    return (
        all(_is_size(number) for number in numbers)
        and all(isinstance(text, str) for text in texts)
        and isinstance(volume.serial, (str, type(None)))
        and isinstance(volume.read_only, bool)
        and isinstance(volume.locked, bool)
        and isinstance(volume.end_lost, bool)
    )


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
