"""The records of ``complete.json`` about a set's files on the volume: its archives, and the dump of the
database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ArchiveRecord:
    """One sealed archive, as in the manifest on tape."""

    number: int
    name: str
    bytes: int
    """The size of its file on the volume."""
    sha256: str
    """Of that file."""
    files: int
    """How many names it stores: files, folders and links."""
    deleted: int
    """How many files of the parent were deleted; its index lists them."""
    size: int
    """Bytes of content of its files, holes included, each hard-linked file once."""
    follows: int | None
    """The number of the previous archive that counts; None for the first."""
    pieces: int = 0
    """Parts of files that are too long for one archive, besides ``files``."""
    index_sha256: str | None = field(default=None, compare=False)
    """Of its index; None in the index itself, which cannot contain it."""
    label: str | None = field(default=None, compare=False)
    """Of the volume that it was written to; None in the index, and if an older version wrote it."""

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _RECORD}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ArchiveRecord:
        """Raises KeyError, TypeError if it is not one."""
        data = {"label": None, "pieces": 0} | data
        for name, kind in _RECORD.items():
            if not isinstance(data[name], kind) or isinstance(data[name], bool):
                raise TypeError(name)
        return cls(**{name: data[name] for name in _RECORD})


_RECORD: dict[str, Any] = {
    "number": int,
    "name": str,
    "bytes": int,
    "sha256": str,
    "files": int,
    "deleted": int,
    "size": int,
    "follows": int | None,
    "pieces": int,
    "index_sha256": str | None,
    "label": str | None,
}


DATABASE = "database.sql.zst"
"""The name of a dump of the database on the volume."""


@dataclass(frozen=True, slots=True)
class DatabaseRecord:
    """The dump of the database beside a set, as in ``complete.json``."""

    name: str
    bytes: int
    """The size of its file on the volume."""
    sha256: str
    """Of that file."""

    @classmethod
    def from_json(cls, data: dict[str, Any] | None) -> DatabaseRecord | None:
        """Raises KeyError, TypeError if it is not one."""
        return None if data is None else cls(str(data["name"]), int(data["bytes"]), str(data["sha256"]))
