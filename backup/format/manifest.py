"""The documents of a set on the volume: ``set.json`` first, ``complete.json`` last."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from backup.entry import Entry, name_from_json, name_to_json, text
from backup.errors import NoSuchSet, WrongKey
from backup.format import documents, index
from backup.format.age import Identities
from backup.format.documents import (
    COMPLETE,
    SET,
    VERSION,
    folder_of,
)
from backup.format.sealed import numbers, sealed
from backup.records import ArchiveRecord, DatabaseRecord
from backup.request import Excludes, SetRequest
from policy.errors import TapelineError
from policy.message import M
from tape.drive import Volume

TYPES = frozenset({"full", "incremental", "differential"})


@dataclass(frozen=True, slots=True)
class SetOnTape:
    """A set that has a folder on the volume."""

    set_id: str
    complete: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """A volume's description of a set. Of an incomplete one: what was sealed on this volume."""

    set_id: str
    type: str
    parent: str | None
    """The set on which this one's changes are based; None for a full one."""
    encrypted: bool
    encrypted_to: tuple[str, ...]
    """Public keys; none if an older version wrote it."""
    sources: tuple[str, ...]
    """As the request names them."""
    roots: tuple[str, ...]
    """Their real paths: the names of files begin with them."""
    compression: str
    label: str
    started_at: datetime
    about: dict[str, Any]
    complete: bool
    finished_at: datetime | None
    archives: tuple[ArchiveRecord, ...]
    files: int
    deleted: int
    size: int
    warnings: int | None
    """None: not known, because the set is not complete."""
    database: DatabaseRecord | None = None
    """The dump of the database beside it."""


def begin(volume: Volume, request: SetRequest, roots: Collection[bytes]) -> int:
    """Write ``set.json`` unless the volume has it; returns its bytes.

    Raises TapeFull, TapeWriteError.
    """
    if documents.read(volume, request.set_id, SET) is not None:
        return 0
    written = 0
    if request.encrypt_to:
        written = documents.hide(volume, request.set_id, _names(request, roots), request.encrypt_to)
    return written + documents.write(volume, request.set_id, _set_document(request, roots))[1]


def finish(
    volume: Volume,
    request: SetRequest,
    roots: Collection[bytes],
    archives: Collection[ArchiveRecord],
    warnings: int,
    *,
    finished_at: datetime,
    database: DatabaseRecord | None = None,
) -> tuple[str, int]:
    """Write ``complete.json``; returns its name and bytes. Raises TapeFull, TapeWriteError."""
    document = {
        "format": COMPLETE,
        "version": VERSION,
        "set": _set_document(request, roots),
        "finished_at": finished_at.isoformat(),
        "files": sum(archive.files for archive in archives),
        "deleted": sum(archive.deleted for archive in archives),
        "bytes": sum(archive.size for archive in archives),
        "warnings": warnings,
        "database": asdict(database) if database else None,
        "archives": [archive.to_json() for archive in archives],
    }
    return documents.write(volume, request.set_id, document)


def _set_document(request: SetRequest, roots: Collection[bytes]) -> dict[str, Any]:
    return {
        "format": SET,
        "version": VERSION,
        "set_id": request.set_id,
        "type": request.type,
        "parent": request.parent,
        "encrypted": bool(request.encrypt_to),
        **({"encrypted_to": list(request.encrypt_to)} if request.encrypt_to else {}),
        "compression": request.compression,
        "level": request.level,
        "archive_bytes": request.archive_bytes,
        "frame_bytes": request.frame_bytes,
        "label": request.label,
        "started_at": request.started_at.isoformat(),
        **({} if request.encrypt_to else _names(request, roots)),
    }


def _names(request: SetRequest, roots: Collection[bytes]) -> dict[str, Any]:
    """The facts about the content; in an encrypted set they are encrypted as well."""
    dumps = [dump.path for dump in request.dumps]
    return {
        "sources": [name_to_json(source) for source in (*request.sources, *dumps)],
        "roots": [name_to_json(root) for root in (*map(text, roots), *dumps)],
        "excludes": _excludes(request.excludes),
        "about": request.about,
    }


def _excludes(excludes: Excludes) -> dict[str, Any]:
    """For people: the rules by which files were left out."""
    return {name: value for name, value in asdict(excludes).items() if value}


def sets_on(volume: Volume) -> list[SetOnTape]:
    """The sets on a volume, by id. Raises TapeReadError."""
    return [SetOnTape(set_id, documents.is_complete(volume, set_id)) for set_id in volume.names("sets")]


STRANGERS = 10
"""How many names of foreign files are returned at most."""

_OURS = re.compile(r"(set|complete|data|index|names|database)[-.].*")


def strangers(volume: Volume) -> list[str]:
    """The names of files on a volume that Tapeline did not write: the first few. Raises TapeReadError."""
    names = [name for name in volume.names() if name not in {"README.txt", "sets"}]
    for set_id in volume.names("sets"):
        folder = folder_of(set_id)
        names += [f"{folder}/{name}" for name in volume.names(folder) if not _OURS.fullmatch(name)]
    return names[:STRANGERS]


def read_manifest(volume: Volume, set_id: str, keys: Identities = ()) -> Manifest:
    """The volume's description of a set; without the key of an encrypted one, it has no names.

    Raises NoSuchSet, SetUnreadable, TapeReadError, KeyNeeded.
    """
    if set_id not in volume.names("sets"):
        raise NoSuchSet(
            M("The tape has no backup set '{set}'.", set=set_id), M("'tapeline sets' lists the sets.")
        )
    complete = documents.read(volume, set_id, COMPLETE)
    try:
        names = documents.reveal(volume, set_id, keys) if keys else {}
        manifest = _complete(complete, names) if complete is not None else _incomplete(volume, set_id, names)
        if manifest.set_id != set_id or manifest.type not in TYPES:
            raise ValueError(manifest.set_id)  # noqa: TRY301 - as any other field that is not what it should be
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise index.damaged(folder_of(set_id)) from error
    return manifest


def _complete(document: dict[str, Any], names: dict[str, Any]) -> Manifest:
    archives = tuple(ArchiveRecord.from_json(record) for record in document["archives"])
    return _manifest(
        document["set"] | names,
        archives,
        complete=True,
        finished_at=datetime.fromisoformat(document["finished_at"]),
        warnings=int(document["warnings"]),
        database=DatabaseRecord.from_json(document.get("database")),
    )


def _incomplete(volume: Volume, set_id: str, names: dict[str, Any]) -> Manifest:
    document = documents.read(volume, set_id, SET)
    if document is None:
        raise index.damaged(f"{folder_of(set_id)}/set.json")
    archives = tuple(sealed(volume, set_id))
    return _manifest(document | names, archives, complete=False, finished_at=None, warnings=None)


def _manifest(
    document: dict[str, Any],
    archives: tuple[ArchiveRecord, ...],
    *,
    complete: bool,
    finished_at: datetime | None,
    warnings: int | None,
    database: DatabaseRecord | None = None,
) -> Manifest:
    return Manifest(
        set_id=document["set_id"],
        type=document["type"],
        parent=document["parent"],
        encrypted=document["encrypted"],
        encrypted_to=tuple(map(str, document.get("encrypted_to", ()))),
        sources=tuple(map(name_from_json, document.get("sources", ()))),
        roots=tuple(map(name_from_json, document.get("roots", ()))),
        compression=document["compression"],
        label=document["label"],
        started_at=datetime.fromisoformat(document["started_at"]),
        about=document.get("about", {}),
        complete=complete,
        finished_at=finished_at,
        archives=archives,
        files=sum(archive.files for archive in archives),
        deleted=sum(archive.deleted for archive in archives),
        size=sum(archive.size for archive in archives),
        warnings=warnings,
        database=database,
    )


@contextmanager
def naming_keys(volume: Volume, set_id: str) -> Iterator[None]:
    """If a key is wrong, name its set and the right keys. Raises WrongKey."""
    try:
        yield
    except WrongKey as error:
        keys = read_manifest(volume, set_id).encrypted_to
        message = M(
            "This key does not open set {set}, encrypted to {keys}.", set=set_id, keys=", ".join(keys)
        )
        raise WrongKey(
            message if keys else M("This key does not open set {set}.", set=set_id), error.remedy
        ) from error


def entries_on(
    volume: Volume,
    set_id: str,
    *,
    archives: Collection[int] | None = None,
    damaged: Callable[[int, TapelineError], None] | None = None,
    keys: Identities = (),
) -> Iterator[Entry]:
    """The entries of a set in tape order, from its indexes on this volume; of some archives, or all.

    With ``damaged``, an unreadable index is reported to it and skipped; without, the error is raised:
    NoSuchSet, SetUnreadable, TapeReadError. Archives on other cartridges are skipped.
    """
    present = numbers(volume, set_id)
    for record in read_manifest(volume, set_id).archives:
        if record.number not in present or (archives is not None and record.number not in archives):
            continue
        try:
            yield from index.on_volume(volume, folder_of(set_id), record.number, keys)
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
