"""The archives of a set that are whole on a volume, told from its indexes alone."""

from __future__ import annotations

import re

from backup import index
from backup.documents import folder_of
from backup.errors import KeyNeeded, SetUnreadable
from backup.records import ArchiveRecord
from tape.drive import Volume


def numbers(volume: Volume, set_id: str) -> set[int]:
    """The numbers that archives of a set have on a volume, whole or not."""
    found = (re.match(r"(?:data|index)-(\d+)\.", name) for name in volume.names(folder_of(set_id)))
    return {int(match[1]) for match in found if match}


def sealed(volume: Volume, set_id: str) -> list[ArchiveRecord]:
    """The archives that count in a set that is not complete: the last whole one, and back from it."""
    chain: list[ArchiveRecord] = []
    wanted: int | None = None
    for number in sorted(numbers(volume, set_id), reverse=True):
        if chain and number != wanted:
            continue
        record = _whole(volume, set_id, number)
        if record is not None:
            chain.append(record)
            wanted = record.follows
    return chain[::-1]


def _whole(volume: Volume, set_id: str, number: int) -> ArchiveRecord | None:
    """The archive, if its index is whole and its data have the size that the index tells."""
    folder = folder_of(set_id)
    if volume.size(index.found_on(volume, folder, number)) is None:
        return None
    try:
        record = index.record_on_volume(volume, folder, number)
    except (SetUnreadable, KeyNeeded):
        return None
    return record if volume.size(f"{folder}/{record.name}") == record.bytes else None
