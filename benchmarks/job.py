"""One piece of Tapeline's work in a process of its own: ``python -m benchmarks.job KIND FACTS``.

The time is that of the work, with hashes, seals and catalogue, but without the start of Python: in service
the worker is already running.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from backup.entry import Entry
from backup.format.manifest import entries_on
from backup.records import ArchiveRecord
from backup.request import SetRequest
from backup.restore import restore
from backup.source.changes import KnownFiles
from backup.write import write_set
from db.engine import Database
from db.models import BackupArchive, BackupSet
from db.sets import catalog, lineage
from db.states import BackupType
from policy.message import Message
from policy.tapes.facts import SetState
from policy.units import GIB
from tape.drive import Medium, MediumState
from tape.volume import FolderVolume
from tasks.writing.journal import row_of, rows
from tasks.writing.pace import readers_of_this_host

MOMENT = datetime(2026, 11, 1, 2, tzinfo=UTC)


class UncountedJournal:
    """Enters sealed archives into a real catalogue, and keeps no counts."""

    def __init__(self, database: Database, set_id: str) -> None:
        self._database = database
        self._set_id = set_id

    def planned(self, files: int, size: int, left_out: int) -> None:
        """Nobody watches."""

    def sealed(self, archive: ArchiveRecord, entries: Iterable[Entry]) -> None:
        row = row_of(archive, self._set_id, 1, 1)
        with self._database.transaction() as session:
            catalog.add_archive(session, row, rows(entries), deleted=archive.deleted)

    def progress(self, files: int, size: int) -> None:
        """Nobody watches."""

    def warned(self, path: str, reason: Message) -> None:
        raise AssertionError(f"{path}: {reason}")

    def is_ending(self) -> bool:
        return False

    def check(self) -> None:
        """Nobody asks for an end."""


def _wait(_about: str, _seconds: float) -> None:
    """Have the sources read by a process that could be left behind, as a worker on Linux does."""


def back_up(facts: dict[str, Any]) -> dict[str, Any]:
    """Write a set, full or against a parent."""
    database = Database(facts["database"])
    set_id, parent = facts["set_id"], facts.get("parent")
    with database.transaction() as session:
        catalog.add_set(
            session,
            BackupSet(
                id=set_id,
                type=BackupType.INCREMENTAL if parent else BackupType.FULL,
                state=SetState.WRITING,
                sources=[facts["source"]],
                started_at=MOMENT,
                generation=1,
                parent_id=parent,
            ),
        )
    spool = Path(facts["spool"])
    started = time.perf_counter()
    known: Iterable[bytes] = _known(database, parent, spool / set_id) if parent else ()
    request = SetRequest(
        set_id=set_id,
        type="incremental" if parent else "full",
        sources=(facts["source"],),
        compression=facts["compression"],
        level=facts.get("level", 3),
        label="TP20261101",
        started_at=MOMENT,
        buffer_bytes=facts.get("buffer_bytes", GIB),
        readers=facts.get("readers") or readers_of_this_host(),
        parent=parent,
        known=known,
    )
    volume = FolderVolume(Path(facts["volume"]), Medium(MediumState.FORMATTED, label="TP20261101"))
    summary = write_set(
        volume, request, UncountedJournal(database, set_id), spool, facts.get("watched") and _wait
    )
    seconds = time.perf_counter() - started
    with database.transaction() as session:
        catalog.complete(
            session,
            set_id,
            finished_at=summary.finished_at,
            warnings=summary.warnings,
            retention_days=None,
        )
    return {
        "seconds": seconds,
        "phases": asdict(summary.seconds),
        "files": summary.files,
        "bytes": summary.size,
    }


def _known(database: Database, parent: str, folder: Path) -> KnownFiles:
    """As a run does it: the parent's rows go to the disk first."""
    known = KnownFiles(folder)
    with database.transaction() as session:
        known.write(lineage.known_files(session, parent))
    return known


def bring_back(facts: dict[str, Any]) -> dict[str, Any]:
    """Restore a set, or one path of it."""
    volume = _CountingVolume(Path(facts["volume"]), Medium(MediumState.FORMATTED, label="TP20261101"))
    target = Path(facts["target"])
    paths = facts.get("paths", [])
    started = time.perf_counter()
    entries = entries_on(volume, facts["set_id"], archives=facts.get("archives"))
    report = restore(volume, facts["set_id"], entries, target, select=paths)
    seconds = time.perf_counter() - started
    assert not report.failures
    return {"seconds": seconds, "files": report.files, "bytes": report.size, "read": volume.read}


class _CountingVolume(FolderVolume):
    """Counts the bytes read from the tape."""

    read = 0

    def open(self, name: str) -> Any:
        return _CountingFile(super().open(name), self)


class _CountingFile:
    def __init__(self, file: Any, volume: _CountingVolume) -> None:
        self._file = file
        self._volume = volume

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self._volume.read += len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _CountingFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def load(facts: dict[str, Any]) -> dict[str, Any]:
    """Fill the catalogue with a set of so many files, find one path, drop the set."""
    database = Database(facts["database"])
    set_id, count = facts["set_id"], facts["rows"]
    with database.transaction() as session:
        catalog.add_set(
            session,
            BackupSet(
                id=set_id, type=BackupType.FULL, state=SetState.WRITING, sources=["/data"], started_at=MOMENT
            ),
        )
    archive = ArchiveRecord(1, "data-000001.tar", 1, "0" * 64, count, 0, count, None)
    started = time.perf_counter()
    with database.transaction() as session:
        row = BackupArchive(
            set_id=set_id, number=1, cartridge_id=1, generation=1, name=archive.name, bytes=1,
            sha256=archive.sha256, files=count, content_bytes=count, record=archive.to_json(),
        )  # fmt: skip
        catalog.add_archive(session, row, _rows(count))
    loaded = time.perf_counter() - started
    with database.transaction() as session:
        catalog.complete(session, set_id, finished_at=MOMENT, warnings=0, retention_days=None)
    lookups = []
    for number in range(0, count, max(count // 50, 1)):
        started = time.perf_counter()
        with database.transaction() as session:
            path = _path(number)
            live = list(lineage.tree(session, lineage.chain(session, set_id), catalog.wanted([path])))
        lookups.append(time.perf_counter() - started)
        assert [file.path for file in live] == [path.encode()]
    started = time.perf_counter()
    with database.transaction() as session:
        session.execute(text(f'DROP TABLE "backup_files_{set_id.lower()}"'))
    dropped = time.perf_counter() - started
    return {"rows_per_second": count / loaded, "found": sorted(lookups), "dropped": dropped}


def _path(number: int) -> str:
    return f"/data/department {number // 100_000:03d}/project {number // 1000:06d}/document {number:08d}.dat"


def _rows(count: int) -> Iterator[catalog.FileRow]:
    digest = bytes(range(32))
    for number in range(count):
        yield catalog.FileRow(
            number, _path(number), None, "file", 4096, 1_760_000_000_123_456_789, 1_760_000_000_123_456_789,
            number, digest,
        )  # fmt: skip


KINDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "backup": back_up,
    "restore": bring_back,
    "catalogue": load,
}


def main() -> None:
    """Do it, and print the measurements."""
    result = KINDS[sys.argv[1]](json.loads(sys.argv[2]))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({**result, "peak_mib": own / 1024}))


if __name__ == "__main__":
    main()
