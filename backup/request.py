"""What the engine is asked to write, whom it tells, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from backup.entry import Entry, raw, signed
from backup.errors import BadRequest
from backup.gitignore import parsed
from backup.phases import Phases
from backup.records import ArchiveRecord
from policy.guard import Planned
from policy.message import M, Message
from policy.sources import Source
from policy.units import GIB, MIB

_SET_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Excludes:
    """What is left out, without a warning; the scan counts it. Raises BadRequest."""

    patterns: tuple[str, ...] = ()
    """In the syntax of ``.gitignore``; each source is the root of its own tree."""
    caches: bool = False
    """What is in a folder that holds a valid CACHEDIR.TAG, except that tag."""
    one_file_system: bool = False
    """What is in a folder that is another file system's root."""
    max_bytes: int | None = None
    """Files that are larger."""
    older_than_ns: int | None = None
    """Files that were changed last before this moment, in nanoseconds since 1970."""

    def __post_init__(self) -> None:
        check_patterns(self.patterns)
        if self.max_bytes is not None and self.max_bytes < 1:
            raise BadRequest(
                M("max_file_bytes: {size} leaves everything out.", size=self.max_bytes),
                M("Give a size of at least 1 byte, or none."),
            )


def check_patterns(patterns: Iterable[str]) -> None:
    """Raises BadRequest that names the first pattern that git would take for none: no name fits it."""
    for pattern in patterns:
        found = parsed(raw(pattern))
        if found is not None and found.shape is None:
            raise BadRequest(
                M("excludes: '{pattern}' is not a pattern.", pattern=ascii(pattern)[1:-1]),
                M("Write it as in a .gitignore file, for example '*.tmp', '/cache/' or '!keep.tmp'."),
            )


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


class Surveyed(NamedTuple):
    """The sources of a set before its first byte, each once, as the request names them."""

    seen: tuple[Source, ...]
    planned: tuple[Planned, ...]
    """Not of one that lies in another, is not there or could not be looked at."""


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
    before_first_byte: Callable[[Surveyed], None] | None = None
    """Of a set of which nothing is on tape yet: called after the plan, with what it has of each source. What
    it raises goes through, and nothing is written."""
    encrypt_dump_to: tuple[str, ...] = ()
    """Public keys for the dump where the set is not encrypted; a set that is has it for its own keys."""
    known: Iterable[bytes] = ()
    """Rows of what the parent, and the sets that it needs in its turn, make up, in the form that
    ``backup.source.changes`` takes: in the order of a set, read again on each iteration."""

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
