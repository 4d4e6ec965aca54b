"""The engine's interface: the request to write, the journal that it reports to, and the result."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from backup.elsewhere import ReadFrom
from backup.entry import Entry, raw, signed, unsigned
from backup.errors import BadRequest
from backup.gitignore import parsed
from backup.phases import Phases
from backup.records import ArchiveRecord
from policy.detection import AUTO, ComparedFields
from policy.guard import PlannedSource
from policy.message import M, Message
from policy.sources import DUMPS, Source
from policy.units import GIB, MIB

_SET_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Excludes:
    """What is left out, without a warning; the scan counts it. Raises BadRequest."""

    patterns: tuple[str, ...] = ()
    """In the syntax of ``.gitignore``; each source is the root of its own tree."""
    caches: bool = False
    """The contents of a folder that has a valid CACHEDIR.TAG, except that tag."""
    one_file_system: bool = False
    """The contents of a folder that is another file system's root."""
    max_bytes: int | None = None
    """Larger files."""
    older_than_ns: int | None = None
    """Files last changed before this moment, in nanoseconds since 1970."""

    def __post_init__(self) -> None:
        check_patterns(self.patterns)
        if self.max_bytes is not None and self.max_bytes < 1:
            raise BadRequest(
                M("max_file_bytes: {size} leaves everything out.", size=self.max_bytes),
                M("Give a size of at least 1 byte, or none."),
            )


def check_patterns(patterns: Iterable[str]) -> None:
    """Raises BadRequest that names the first pattern that git would ignore: it matches no name."""
    for pattern in patterns:
        compiled = parsed(raw(pattern))
        if compiled is not None and compiled.shape is None:
            raise BadRequest(
                M("excludes: '{pattern}' is not a pattern.", pattern=ascii(pattern)[1:-1]),
                M("Write it as in a .gitignore file, for example '*.tmp', '/cache/' or '!keep.tmp'."),
            )


@dataclass(frozen=True, slots=True)
class Begun:
    """A file of which some pieces are sealed, but not the last one."""

    path: str
    mtime_ns: int
    ctime_ns: int
    inode: int
    """In the form of ``signed``."""
    offset: int
    """How much of it is on tape."""
    digests: tuple[bytes, ...]
    """The hashes of its pieces."""
    partial: bool
    """One of them is no single state of the file."""
    whole: int | None = None
    """The size of the file; None: a set of an earlier version does not record it."""

    def goes_on_with(self, entry: Entry, compared: ComparedFields) -> bool:
        """Whether a file is the same and in the same state. ``compared``: what shows that on its file
        system."""
        if (entry.path, entry.mtime_ns) != (self.path, self.mtime_ns) or entry.size <= self.offset:
            return False
        if compared.ctime and entry.ctime_ns != self.ctime_ns:
            return False
        if compared.inode and signed(entry.inode) != self.inode:
            return False
        return compared.ctime if self.whole is None else entry.size == self.whole

    def as_begun(self, entry: Entry) -> Entry:
        """The entry of the file with the facts that its pieces on tape have: all of them are one file."""
        return entry._replace(ctime_ns=self.ctime_ns, inode=unsigned(self.inode))


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """The progress of a set: sealed and catalogued archives count, nothing else."""

    archives: tuple[ArchiveRecord, ...]
    """All that count, on any cartridge."""
    files: int
    bytes: int
    warnings: int
    after: str | None
    """The path of the last entry of these archives that is no piece; None if there is none."""
    begun: Begun | None = None
    """The file in whose middle the set was cut off."""


class Surveyed(NamedTuple):
    """The sources of a set before its first byte, each once, as the request names them."""

    seen: tuple[Source, ...]
    planned: tuple[PlannedSource, ...]
    """Not for a source that is inside another, is missing or could not be inspected."""
    rules: Mapping[str, str] = {}
    """For each file system of the sources, by the path at which it begins, what is compared there."""


class Throttle(Protocol):
    """Limits how fast the sources are read."""

    seconds: float
    """How long it has waited in total."""

    def is_slowing(self) -> bool:
        """Whether a limit applies now."""

    def took(self, count: int) -> None:
        """So many bytes were read: waits as long as that is too fast. Raises what the journal raises."""


class DumpStream(Protocol):
    """What a command prints."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Read some of it; 0 at its end, if the command ended well. Raises DumpBroken if it did not."""


@dataclass(frozen=True, slots=True)
class Dump:
    """A command whose output is a file of the set."""

    name: str
    open: Callable[[], AbstractContextManager[DumpStream]]
    """Start the command; the end of the context ends it. Raises DumpBroken."""
    optional: bool = False
    """If it fails, the set is complete without it, with a warning."""
    judge: Callable[[int], None] = lambda _size: None
    """Called with the size of its whole output, before that counts as whole. Its errors go through."""

    @property
    def path(self) -> str:
        """Its path in the set."""
        return DUMPS + self.name


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
    """Of the volume, for readers of the manifest."""
    started_at: datetime
    """UTC."""
    archive_bytes: int = 4 * GIB
    """An archive ends before the file that would make its tar, uncompressed, longer than this. A single file
    longer than that goes into the current archive, or is cut in pieces of up to this length."""
    frame_bytes: int = 4 * MIB
    """A frame ends with the file that makes it at least this long, uncompressed."""
    reserve_bytes: int = 0
    """Left free on the volume, besides what the index of the current archive needs."""
    buffer_bytes: int = 64 * MIB
    """Of memory, between the source and the drive."""
    in_bursts: bool = False
    """The drive has to stop when data arrive too slowly: it is fed in long bursts."""
    throttle: Throttle | None = None
    """What limits how fast the sources are read."""
    readers: int = 0
    """How many list folders and read small files ahead."""
    more_readers: bool = False
    """There may be more where a share takes long for a call."""
    encrypt_to: tuple[str, ...] = ()
    """Public keys of age; none: the set is not encrypted."""
    excludes: Excludes = field(default_factory=Excludes)
    elsewhere: tuple[ReadFrom, ...] = ()
    """What is read from a snapshot. The names on tape are those of the source."""
    still_whole: Callable[[], None] = lambda: None
    """Called before an archive counts, and before the set does. Raises if what was read until then may not be
    all that was there."""
    about: dict[str, Any] = field(default_factory=dict)
    """JSON values that go into ``set.json`` unchanged."""
    resume: ResumePoint | None = None
    parent: str | None = None
    """The set on which this one's changes are based; None for a full one."""
    dump: Callable[[Path, Callable[[], None]], Message | None] | None = None
    """Writes a dump of the database into a file of the spool, and returns why if there is none. The dump goes
    onto the volume before the set is complete. Its argument is a check that it calls every MiB or so, and
    whose errors it lets through."""
    before_first_byte: Callable[[Surveyed], None] | None = None
    """Only for a set that has nothing on tape yet: called after the plan, with the facts of each source. Its
    errors go through, and nothing is written."""
    detect: str = AUTO
    """What shows that a file has changed: one of ``policy.detection.CHOICES``."""
    detect_of: Mapping[str, str] = field(default_factory=dict)
    """The same by source, for those that have a rule of their own."""
    followed: tuple[Mapping[str, str], ...] = ()
    """Of each set that this one follows the ``rules`` of its ``Surveyed``."""
    dumps: tuple[Dump, ...] = ()
    """Sources that are the output of commands."""
    encrypt_dump_to: tuple[str, ...] = ()
    """Public keys for the dump if the set is not encrypted; an encrypted set uses its own keys."""
    known: Iterable[bytes] = ()
    """Rows of the state that the parent, and the sets that it follows, represent, in the form that
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
    """Gets the progress of a set. An exception from these ends the writing and goes through to the caller."""

    def planned(self, files: int, size: int, left_out: int) -> None:
        """After the scan, before the first byte: the totals of the whole set; what rules left out."""

    def sealed(self, archive: ArchiveRecord, entries: Iterable[Entry]) -> None:
        """The volume is sealed and has the archive; now the entries can be read any number of times."""

    def progress(self, files: int, size: int) -> None:
        """Entries and bytes of content read so far, in total; called often."""

    def warned(self, path: str, reason: Message) -> None:
        """Something was not backed up as it should be. The path is for people, and always UTF-8."""

    def is_ending(self) -> bool:
        """Called after each file, and after each piece of a long one: True has the current archive sealed,
        and the writing ends with Ended."""

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
    """How many files of the parent were deleted."""
    warnings: int
    written: int
    """Bytes that this call wrote to the volume."""
    seconds: Phases
    finished_at: datetime
    readers: int = 0
    """How many read ahead."""
    latency: float = 0.0
    """The seconds that a call on the slowest share took; 0: not measured."""
    """The time in ``complete.json`` on the volume, even if this is reported later."""
