"""The documents of a set on the volume: ``set.json`` first, ``complete.json`` last."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backup import index
from backup.entry import Entry, name_from_json, name_to_json, text
from backup.errors import NoSuchSet, SetUnreadable
from backup.request import ArchiveRecord, SetRequest
from backup.tapefile import put, read_whole
from policy.errors import TapelineError
from policy.message import M
from tape.drive import Volume

VERSION = 1
SET = "tapeline-set"
COMPLETE = "tapeline-complete"
_STEMS = {SET: "set", COMPLETE: "complete"}


@dataclass(frozen=True, slots=True)
class SetOnTape:
    """A set that has a folder on the volume."""

    set_id: str
    complete: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a volume says of a set. Of one that is not complete: what was sealed on this volume."""

    set_id: str
    type: str
    sources: tuple[str, ...]
    """As they were asked for."""
    roots: tuple[str, ...]
    """Their real paths: what the names of files begin with."""
    compression: str
    label: str
    started_at: datetime
    about: dict[str, Any]
    complete: bool
    finished_at: datetime | None
    archives: tuple[ArchiveRecord, ...]
    files: int
    size: int
    warnings: int | None
    """None: not known, because the set is not complete."""


def folder_of(set_id: str) -> str:
    """Where a set lies on a volume."""
    return f"sets/{set_id}"


def begin(volume: Volume, request: SetRequest, roots: Collection[bytes]) -> int:
    """Write ``set.json`` unless the volume has it; returns its bytes.

    Raises TapeFull, TapeWriteError.
    """
    if _read(volume, request.set_id, SET) is not None:
        return 0
    return _write(volume, request.set_id, _set_document(request, roots))


def finish(
    volume: Volume,
    request: SetRequest,
    roots: Collection[bytes],
    archives: Collection[ArchiveRecord],
    warnings: int,
) -> tuple[str, int]:
    """Write ``complete.json``; returns its name and bytes. Raises TapeFull, TapeWriteError."""
    document = {
        "format": COMPLETE,
        "version": VERSION,
        "set": _set_document(request, roots),
        "finished_at": datetime.now(UTC).isoformat(),
        "files": sum(archive.files for archive in archives),
        "bytes": sum(archive.size for archive in archives),
        "warnings": warnings,
        "archives": [archive.to_json() for archive in archives],
    }
    name = _free_name(volume, request.set_id, COMPLETE)
    return name, put(volume, name, [_bytes(document)])


def _set_document(request: SetRequest, roots: Collection[bytes]) -> dict[str, Any]:
    return {
        "format": SET,
        "version": VERSION,
        "set_id": request.set_id,
        "type": request.type,
        "sources": [name_to_json(source) for source in request.sources],
        "roots": [name_to_json(text(root)) for root in roots],
        "compression": request.compression,
        "level": request.level,
        "archive_bytes": request.archive_bytes,
        "frame_bytes": request.frame_bytes,
        "label": request.label,
        "started_at": request.started_at.isoformat(),
        "about": request.about,
    }


def _write(volume: Volume, set_id: str, document: dict[str, Any]) -> int:
    return put(volume, _free_name(volume, set_id, document["format"]), [_bytes(document)])


def _bytes(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def _documents(volume: Volume, set_id: str, form: str) -> list[str]:
    """The names of a document: one is written again, under the next name, when a crash cut it off."""
    pattern = re.compile(rf"{_STEMS[form]}(?:-(\d+))?\.json")
    found = [pattern.fullmatch(name) for name in volume.names(folder_of(set_id))]
    ordered = sorted((match for match in found if match), key=lambda match: int(match[1] or 1))
    return [f"{folder_of(set_id)}/{match[0]}" for match in ordered]


def _free_name(volume: Volume, set_id: str, form: str) -> str:
    taken = _documents(volume, set_id, form)
    if not taken:
        return f"{folder_of(set_id)}/{_STEMS[form]}.json"
    last = re.search(r"-(\d+)\.json$", taken[-1])
    return f"{folder_of(set_id)}/{_STEMS[form]}-{int(last[1]) + 1 if last else 2}.json"


def _read(volume: Volume, set_id: str, form: str) -> dict[str, Any] | None:
    """The last document that is whole. Raises SetUnreadable on one of another version, TapeReadError."""
    for name in reversed(_documents(volume, set_id, form)):
        document = _loaded(volume, name)
        if document.get("format") == form:
            index.check_version(document, form, VERSION, name)
            return document
    return None


def _loaded(volume: Volume, name: str) -> dict[str, Any]:
    """A document of any version; an empty one where a crash cut it off."""
    try:
        document = json.loads(read_whole(volume, name))
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def is_complete(volume: Volume, set_id: str) -> bool:
    """Whether a set has a ``complete.json`` that is whole, of whatever version. Raises TapeReadError."""
    names = _documents(volume, set_id, COMPLETE)
    return any(_loaded(volume, name).get("format") == COMPLETE for name in names)


def sets_on(volume: Volume) -> list[SetOnTape]:
    """The sets on a volume, by id. Raises TapeReadError."""
    return [SetOnTape(set_id, is_complete(volume, set_id)) for set_id in volume.names("sets")]


def read_manifest(volume: Volume, set_id: str) -> Manifest:
    """What the volume says of a set. Raises NoSuchSet, SetUnreadable, TapeReadError."""
    if set_id not in volume.names("sets"):
        raise NoSuchSet(
            M("The tape has no backup set '{set}'.", set=set_id), M("'tapeline sets' lists the sets.")
        )
    complete = _read(volume, set_id, COMPLETE)
    try:
        if complete is not None:
            return _complete(complete)
        return _incomplete(volume, set_id)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise index.damaged(folder_of(set_id)) from error


def _complete(document: dict[str, Any]) -> Manifest:
    archives = tuple(ArchiveRecord.from_json(record) for record in document["archives"])
    return _manifest(
        document["set"],
        archives,
        complete=True,
        finished_at=datetime.fromisoformat(document["finished_at"]),
        warnings=int(document["warnings"]),
    )


def _incomplete(volume: Volume, set_id: str) -> Manifest:
    document = _read(volume, set_id, SET)
    if document is None:
        raise index.damaged(f"{folder_of(set_id)}/set.json")
    archives = tuple(_sealed(volume, set_id))
    return _manifest(document, archives, complete=False, finished_at=None, warnings=None)


def _manifest(
    document: dict[str, Any],
    archives: tuple[ArchiveRecord, ...],
    *,
    complete: bool,
    finished_at: datetime | None,
    warnings: int | None,
) -> Manifest:
    return Manifest(
        set_id=document["set_id"],
        type=document["type"],
        sources=tuple(map(name_from_json, document["sources"])),
        roots=tuple(map(name_from_json, document["roots"])),
        compression=document["compression"],
        label=document["label"],
        started_at=datetime.fromisoformat(document["started_at"]),
        about=document["about"],
        complete=complete,
        finished_at=finished_at,
        archives=archives,
        files=sum(archive.files for archive in archives),
        size=sum(archive.size for archive in archives),
        warnings=warnings,
    )


def numbers(volume: Volume, set_id: str) -> set[int]:
    """The numbers that archives of a set have on a volume, whole or not."""
    found = (re.match(r"(?:data|index)-(\d+)\.", name) for name in volume.names(folder_of(set_id)))
    return {int(match[1]) for match in found if match}


def _sealed(volume: Volume, set_id: str) -> list[ArchiveRecord]:
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
    if volume.size(f"{folder}/{index.name_of(number)}") is None:
        return None
    try:
        record = index.record_on_volume(volume, folder, number)
    except SetUnreadable:
        return None
    return record if volume.size(f"{folder}/{record.name}") == record.bytes else None


def entries_on(
    volume: Volume,
    set_id: str,
    *,
    archives: Collection[int] | None = None,
    damaged: Callable[[int, TapelineError], None] | None = None,
) -> Iterator[Entry]:
    """The entries of a set in tape order, from its indexes on this volume; of some archives, or all.

    With ``damaged``, an index that can't be read is told to it and passed over; without, the error is
    raised: NoSuchSet, SetUnreadable, TapeReadError. Archives on other cartridges are passed over.
    """
    present = numbers(volume, set_id)
    for record in read_manifest(volume, set_id).archives:
        if record.number not in present or (archives is not None and record.number not in archives):
            continue
        try:
            yield from index.on_volume(volume, folder_of(set_id), record.number)
        except FileNotFoundError:
            _tell(
                record.number, index.damaged(f"{folder_of(set_id)}/{index.name_of(record.number)}"), damaged
            )
        except TapelineError as error:
            _tell(record.number, error, damaged)


def _tell(number: int, error: TapelineError, damaged: Callable[[int, TapelineError], None] | None) -> None:
    if damaged is None:
        raise error
    damaged(number, error)
