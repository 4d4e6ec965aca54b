"""The archives of a set on a volume: the names of their files, and those that their indexes prove whole."""

from __future__ import annotations

import re

from backup.errors import KeyNeeded, SetUnreadable
from backup.format import index
from backup.format.age import SUFFIX
from backup.format.documents import folder_of
from backup.records import ArchiveRecord
from tape.drive import Volume


def name_of(number: int, *, compressed: bool, encrypted: bool = False) -> str:
    """The name of an archive's file."""
    name = f"data-{number:06d}.tar.zst" if compressed else f"data-{number:06d}.tar"
    return name + SUFFIX if encrypted else name


def found_on(volume: Volume, folder: str, number: int) -> str:
    """The name of an archive's file on the volume, compressed or encrypted or not."""
    names = [
        f"{folder}/{name_of(number, compressed=compressed, encrypted=encrypted)}"
        for compressed in (True, False)
        for encrypted in (False, True)
    ]
    return next((name for name in names if volume.size(name) is not None), names[0])


def numbers(volume: Volume, set_id: str) -> set[int]:
    """The numbers of a set's archives on a volume, whole or not."""
    matches = (re.match(r"(?:data|index)-(\d+)\.", name) for name in volume.names(folder_of(set_id)))
    return {int(match[1]) for match in matches if match}


def sealed(volume: Volume, set_id: str) -> list[ArchiveRecord]:
    """The archives that count in an incomplete set: the last whole one, and back from it."""
    chain: list[ArchiveRecord] = []
    wanted: int | None = None
    for number in sorted(numbers(volume, set_id), reverse=True):
        if chain and number != wanted:
            continue
        record = whole(volume, set_id, number)
        if record is not None:
            chain.append(record)
            wanted = record.follows
    return chain[::-1]


def whole(volume: Volume, set_id: str, number: int) -> ArchiveRecord | None:
    """The archive, if its index is whole and its data have the size in the index."""
    folder = folder_of(set_id)
    if volume.size(index.found_on(volume, folder, number)) is None:
        return None
    try:
        record = index.record_on_volume(volume, folder, number)
    except (SetUnreadable, KeyNeeded):
        return None
    return record if volume.size(f"{folder}/{record.name}") == record.bytes else None
