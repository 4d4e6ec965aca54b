"""A volume that is a folder, and what the tests of the engine have in common."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from backup.compare import Difference, compare_trees
from backup.entry import Entry, FileType, signed
from backup.format.manifest import entries_on
from backup.records import ArchiveRecord
from backup.request import (
    Begun,
    ResumePoint,
    SetRequest,
    SetSummary,
)
from backup.restore import restore
from backup.restoring.report import RestoreReport
from backup.write import write_set
from policy.message import M, Message
from tape.drive import Medium, MediumState
from tape.errors import SealFailed, TapeFull

SET = "20261101T020000Z-0a1b2c"


def full() -> TapeFull:
    return TapeFull(M("The tape is full."), M("Put in the next one."))


class FolderFile:
    """A file of a folder volume."""

    def __init__(self, volume: FolderVolume, name: str) -> None:
        path = volume.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("xb")
        self._volume = volume
        self._name = name

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        self._volume.hit(f"write {self._name}")
        time.sleep(self._volume.slowness)
        if self._volume.full_on == "write" and self._volume.used + len(data) > self._volume.capacity:
            raise full()
        self._volume.used += self._file.write(data)

    def close(self) -> None:
        if self._file.closed:
            return
        self._file.close()
        self._volume.hit(f"close {self._name}")
        if self._volume.full_on == "close" and self._volume.used > self._volume.capacity:
            raise full()


@dataclass
class FolderVolume:
    """A mounted tape in a folder; ``full_on`` says which verb finds out that its capacity is reached."""

    root: Path
    capacity: int = 1 << 40
    full_on: str = "write"
    slowness: float = 0.0
    """Seconds that each write takes."""
    used: int = 0
    seals: int = 0
    faults: dict[str, Exception] = field(default_factory=dict)
    """An error that a verb (``"seal"``, ``"write NAME"``, ...) raises, once."""
    medium: Medium = field(default_factory=lambda: Medium(MediumState.FORMATTED, label="TP20261101"))
    reads: list[tuple[str, int]] = field(default_factory=list)
    """The name and the bytes of each read."""

    def hit(self, verb: str) -> None:
        error = self.faults.pop(verb, None)
        if error is not None:
            raise error

    def free(self) -> int:
        return max(self.capacity - self.used, 0)

    def create(self, name: str) -> FolderFile:
        self.hit(f"create {name}")
        if self.full_on == "create" and self.used >= self.capacity:
            raise full()
        return FolderFile(self, name)

    def open(self, name: str) -> BinaryIO:
        return _Counting(self.root / name, name, self.reads)  # type: ignore[return-value]  # raw I/O

    def size(self, name: str) -> int | None:
        path = self.root / name
        return path.stat().st_size if path.is_file() else None

    def names(self, folder: str = "") -> list[str]:
        path = self.root / folder
        return sorted(found.name for found in path.iterdir()) if path.is_dir() else []

    def remove(self, name: str) -> None:
        path = self.root / name
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)

    def seal(self) -> None:
        self.hit("seal")
        if self.full_on == "seal" and self.used > self.capacity:
            raise full()
        self.seals += 1


class _Counting:
    """A file that notes what is read from it."""

    def __init__(self, path: Path, name: str, reads: list[tuple[str, int]]) -> None:
        self._file = path.open("rb", buffering=0)
        self._name = name
        self._reads = reads

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._reads.append((self._name, len(data)))
        return data

    def seek(self, position: int, whence: int = 0) -> int:
        return self._file.seek(position, whence)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> _Counting:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Log:
    """A journal that keeps everything it is told."""

    plan: tuple[int, int] | None = None
    left_out: int = 0
    archives: list[ArchiveRecord] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)
    warnings: list[tuple[str, Message]] = field(default_factory=list)
    checks: int = 0
    on_check: Callable[[int], None] | None = None
    ends_after: int | None = None
    """So many files later it asks for an end."""
    on_sealed: Callable[[ArchiveRecord], None] | None = None

    def planned(self, files: int, size: int, left_out: int) -> None:
        self.plan = (files, size)
        self.left_out = left_out

    def sealed(self, archive: ArchiveRecord, entries: Iterable[Entry]) -> None:
        if self.on_sealed is not None:
            self.on_sealed(archive)
        self.entries.extend(entries)
        self.archives.append(archive)

    def progress(self, files: int, size: int) -> None:
        self.steps.append((files, size))

    def warned(self, path: str, reason: Message) -> None:
        path.encode()
        self.warnings.append((path, reason))

    def is_ending(self) -> bool:
        if self.ends_after is None:
            return False
        self.ends_after -= 1
        return self.ends_after <= 0

    def check(self) -> None:
        self.checks += 1
        if self.on_check is not None:
            self.on_check(self.checks)

    def resume_point(self) -> ResumePoint:
        return ResumePoint(
            archives=tuple(self.archives),
            files=sum(archive.files for archive in self.archives),
            bytes=sum(archive.size for archive in self.archives),
            warnings=len(self.warnings),
            after=next((e.path for e in reversed(self.entries) if e.type is not FileType.PIECE), None),
            begun=self._begun(),
        )

    def _begun(self) -> Begun | None:
        """The file in whose middle it was cut off."""
        whole = [number for number, entry in enumerate(self.entries, 1) if entry.type is not FileType.PIECE]
        pieces = self.entries[whole[-1] if whole else 0 :]
        facts = [(piece.mtime_ns, piece.ctime_ns, piece.inode) for piece in pieces]
        pieces = [piece for piece, fact in zip(pieces, facts, strict=True) if fact == facts[-1]]
        if not pieces:
            return None
        return Begun(
            path=pieces[-1].path,
            mtime_ns=pieces[-1].mtime_ns,
            ctime_ns=pieces[-1].ctime_ns,
            inode=signed(pieces[-1].inode),
            offset=sum(piece.size for piece in pieces),
            digests=tuple(piece.blake3 or b"" for piece in pieces),
            partial=any(piece.partial for piece in pieces),
            whole=pieces[-1].part.whole if pieces[-1].part else None,
        )


def request(*sources: Path, **changes: Any) -> SetRequest:
    facts: dict[str, Any] = {
        "set_id": SET,
        "type": "full",
        "sources": tuple(os.fsdecode(source) for source in sources),
        "compression": "zstd",
        "level": 3,
        "label": "TP20261101",
        "started_at": datetime(2026, 11, 1, 2, tzinfo=UTC),
        "about": {"run": 7, "host": "drive-1"},
    }
    return SetRequest(**(facts | changes))


def seal_failed() -> SealFailed:
    return SealFailed(M("The index could not be written."), M("Retire the cartridge."))


class Rig:
    """One source, one volume, and the verbs of the engine on them."""

    def __init__(self, base: Path) -> None:
        self.source = base / "source"
        self.source.mkdir()
        self.target = base / "restored"
        self.spool = base / "spool"
        self.volume = FolderVolume(base / "volume")
        self.volume.root.mkdir()
        self.log = Log()

    def back_up(self, *sources: Path, log: Log | None = None, **changes: Any) -> SetSummary:
        asked = request(*(sources or (self.source,)), **changes)
        return write_set(self.volume, asked, log or self.log, self.spool)

    def restore(self, entries: Iterable[Entry] | None = None, **options: Any) -> RestoreReport:
        found = entries_on(self.volume, SET) if entries is None else entries
        return restore(self.volume, SET, found, self.target, **options)

    def entries(self) -> dict[str, Entry]:
        """By path below the source."""
        start = len(str(self.source)) + 1
        return {entry.path[start:]: entry for entry in entries_on(self.volume, SET)}

    def restored(self, path: str = "") -> Path:
        """Where a path of the source lies in the target."""
        return self.target / str(self.source)[1:] / path

    def differences(self) -> list[Difference]:
        return compare_trees(self.source, self.restored())

    def file(self, name: str) -> Path:
        """A file of the set on the volume."""
        return self.volume.root / "sets" / SET / name
