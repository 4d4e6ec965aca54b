"""What the engine is asked to write, whom it tells, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from backup.entry import Entry
from backup.errors import BadRequest
from backup.excludes import Excludes
from backup.listing import signed
from policy.message import M, Message

_SET_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class ArchiveRecord:
    """One sealed archive, as the manifest on tape has it."""

    number: int
    name: str
    bytes: int
    """The size of its file on the volume."""
    sha256: str
    """Of that file."""
    files: int
    """What it stores: everything with a name, folders and links too."""
    deleted: int
    """Files of the parent that are gone; its index tells which."""
    size: int
    """Bytes of content of its files, holes included, each hard-linked file once."""
    follows: int | None
    """The number of the archive before it that counts; None for the first."""
    pieces: int = 0
    """Parts of files that are too long for one archive, besides ``files``."""
    index_sha256: str | None = field(default=None, compare=False)
    """Of its index; None in the index itself, which cannot hold it."""
    label: str | None = field(default=None, compare=False)
    """Of the volume that it was written to; None in the index, and where an older version wrote it."""

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _RECORD}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ArchiveRecord:
        """Raises KeyError, TypeError when it is not one."""
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


@dataclass(frozen=True, slots=True)
class Begun:
    """A file of which some pieces are sealed, and not the last one."""

    path: str
    mtime_ns: int
    ctime_ns: int
    inode: int
    """As ``signed`` makes it."""
    offset: int
    """So much of it is on tape."""
    digests: tuple[bytes, ...]
    """The hashes of its pieces."""
    partial: bool
    """One of them is no single state of the file."""

    def goes_on_with(self, entry: Entry) -> bool:
        """Whether a file is the same and in the same state."""
        facts = (entry.path, entry.mtime_ns, entry.ctime_ns, signed(entry.inode))
        return facts == (self.path, self.mtime_ns, self.ctime_ns, self.inode) and entry.size > self.offset


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """How far a set had come: what was sealed and catalogued counts, nothing else."""

    archives: tuple[ArchiveRecord, ...]
    """All that count, on whatever cartridge."""
    files: int
    bytes: int
    warnings: int
    after: str | None
    """The path of the last entry of the last of these archives that is no piece; None if there is none."""
    begun: Begun | None = None
    """The file in whose middle it was cut off."""


@dataclass(frozen=True, slots=True)
class SetRequest:
    """One backup. Raises BadRequest."""

    set_id: str
    type: Literal["full", "incremental", "differential"]
    sources: tuple[str, ...]
    """Absolute paths of folders or files."""
    compression: Literal["none", "zstd"]
    level: int
    """Of zstd: 1 to 19."""
    label: str
    """Of the volume, for whoever reads the manifest."""
    started_at: datetime
    """UTC."""
    archive_bytes: int = 4 * GIB
    """An archive ends before the file that would make its tar, uncompressed, longer than this. A file that is
    longer by itself goes into the archive under way, or is cut in pieces of up to this length."""
    frame_bytes: int = 4 * MIB
    """A frame ends with the file that makes it at least this long, uncompressed."""
    reserve_bytes: int = 0
    """Left free on the volume, besides what the index of the archive under way needs."""
    buffer_bytes: int = 64 * MIB
    """Of memory, between the source and the drive."""
    in_bursts: bool = False
    """The drive is one that has to stop where data fail to come: it is fed in long bursts."""
    readers: int = 0
    """Processes that list folders and read small files ahead."""
    encrypt_to: tuple[str, ...] = ()
    """Public keys of age; none: it is not encrypted."""
    excludes: Excludes = field(default_factory=Excludes)
    about: dict[str, Any] = field(default_factory=dict)
    """JSON values that go into ``set.json`` as they are."""
    resume: ResumePoint | None = None
    parent: str | None = None
    """The set that this one holds the changes since; None for a full one."""
    dump: Callable[[Path, Callable[[], None]], Message | None] | None = None
    """Writes a dump of the database into a file of the spool, and says why if there is none. It goes onto the
    volume before the set is complete. Called with what it has to call every MiB or so, and let through."""
    encrypt_dump_to: tuple[str, ...] = ()
    """Public keys for the dump where the set is not encrypted; a set that is has it for its own keys."""
    known: Iterable[bytes] = ()
    """Rows of what the parent, and the sets that it needs in its turn, make up, as ``backup.changes`` takes
    them: in the order of a set, read again on each iteration."""

    def __post_init__(self) -> None:
        if not _SET_ID.fullmatch(self.set_id):
            raise BadRequest(
                M("'{set}' cannot be the id of a backup set.", set=ascii(self.set_id)),
                M("Use up to 100 letters, digits, '-', '_' and '.', and begin with a letter or digit."),
            )
        if (self.type == "full") != (self.parent is None):
            raise BadRequest(
                M(
                    "A set of type '{type}' with the parent '{parent}'.",
                    type=self.type,
                    parent=self.parent or "-",
                ),
                M("A full set has no parent, every other set has one."),
            )
        if self.compression not in ("none", "zstd"):
            raise BadRequest(
                M("'{compression}' is not a compression.", compression=self.compression),
                M("Choose 'none' or 'zstd'."),
            )
        if self.compression == "zstd" and not 1 <= self.level <= 19:
            raise BadRequest(
                M("{level} is not a level of zstd.", level=self.level), M("Choose a level from 1 to 19.")
            )
        if self.archive_bytes < 1 or self.frame_bytes < 1:
            raise BadRequest(
                M("Archives and frames need a size above zero."), M("Correct the sizes in the settings.")
            )


DATABASE = "database.sql.zst"
"""The name of a dump of the database on the volume."""


@dataclass(frozen=True, slots=True)
class DatabaseRecord:
    """The dump of the database that a set carries, as ``complete.json`` has it."""

    name: str
    bytes: int
    """The size of its file on the volume."""
    sha256: str
    """Of that file."""

    @classmethod
    def from_json(cls, data: dict[str, Any] | None) -> DatabaseRecord | None:
        """Raises KeyError, TypeError when it is not one."""
        return None if data is None else cls(str(data["name"]), int(data["bytes"]), str(data["sha256"]))


class Journal(Protocol):
    """Who is told how a set comes along. What these raise ends the writing and goes through to the caller."""

    def planned(self, files: int, size: int, left_out: int) -> None:
        """After the scan, before the first byte: what the whole set will have; what rules left out."""

    def sealed(self, archive: ArchiveRecord, entries: Iterable[Entry]) -> None:
        """The volume is sealed and has the archive; the entries can be read as often as it takes, now."""

    def progress(self, files: int, size: int) -> None:
        """Entries and bytes of content read so far, in all; called often."""

    def warned(self, path: str, reason: Message) -> None:
        """Something was not backed up as it should be. The path is for people, and always UTF-8."""

    def is_ending(self) -> bool:
        """Asked after each file: True has the archive under way sealed and the writing end with Ended."""

    def check(self) -> None:
        """Called every few MiB: raises to end the writing; nothing half-written counts."""


@dataclass(slots=True)
class Phases:
    """Where the time went: seconds, one after the other but for ``drive``."""

    total: float = 0.0
    scan: float = 0.0
    read: float = 0.0
    """Waiting for the sources: for what is read here, and for the processes that read ahead."""
    hash: float = 0.0
    compress: float = 0.0
    wait: float = 0.0
    """Waiting for the drive: the buffer is full, or the last of it has to be on tape."""
    seal: float = 0.0
    catalogue: float = 0.0
    drive: float = 0.0
    """The drive at work, at the same time as all of the above."""
    starved: int = 0
    """How often the drive had to stop for data in the middle of an archive."""


@dataclass(frozen=True, slots=True)
class SetSummary:
    """A complete set."""

    files: int
    """Entries: everything with a name, folders and links too."""
    size: int
    """Bytes of content, holes included, each hard-linked file once."""
    archives: tuple[ArchiveRecord, ...]
    """All of the set, in order."""
    deleted: int
    """Files of the parent that are gone."""
    warnings: int
    written: int
    """Bytes that this call wrote to the volume."""
    seconds: Phases
    finished_at: datetime
    """As ``complete.json`` on the volume says, whenever this was told."""
