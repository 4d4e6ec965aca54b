"""Records the engine's progress in the database while it writes: seal first, then catalogue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sqlalchemy.orm import Session

from backup.entry import Entry, raw, shown, signed, text
from backup.records import ArchiveRecord
from backup.request import Begun, ResumePoint
from db import events
from db.bigint import exact
from db.models import BackupArchive, BackupFile, BackupSet, ChainRun
from db.sets import catalog
from db.states import Step
from policy import units
from policy.message import M, Message
from tasks.work import Work

WARNINGS_TOLD = 100
"""How many warnings the story lists; all of them are counted, and are in the set's manifest."""


class CatalogueJournal:
    """The engine's journal of one set on one cartridge."""

    def __init__(
        self,
        work: Work,
        set_id: str,
        cartridge_id: int,
        generation: int,
        *,
        watch: Callable[[], None] = lambda: None,
    ) -> None:
        """``watch``: called every few MiB; raises to end the writing."""
        self._watch = watch
        self._work = work
        self._set_id = set_id
        self._cartridge_id = cartridge_id
        self._generation = generation
        self._meter = Meter()
        self._warnings = 0

    def planned(self, files: int, size: int, left_out: int) -> None:
        """The scan is done: so much will be written."""
        self._meter.plan(files, size)
        self._work.tell(M("Planned: {files} files, {size}.", files=files, size=units.size(size)))
        if left_out:
            self._work.tell(M("Left out by the rules: {count} files and folders.", count=left_out))

    def sealed(self, archive: ArchiveRecord, entries: Iterable[Entry]) -> None:
        """An archive is on tape and sealed: enter it and its files."""
        self._work.db(
            lambda session, run: self._enter(session, run, archive),
            first=lambda session: self._copy(session, archive, entries),
        )

    def _copy(self, session: Session, archive: ArchiveRecord, entries: Iterable[Entry]) -> None:
        if not self._is_entered(session, archive):
            catalog.copy_files(session, self._set_id, archive.number, rows(entries))

    def _is_entered(self, session: Session, archive: ArchiveRecord) -> bool:
        """The connection may have broken after the commit of the first try."""
        return session.get(BackupArchive, (self._set_id, archive.number)) is not None

    def _enter(self, session: Session, run: ChainRun, archive: ArchiveRecord) -> None:
        if self._is_entered(session, archive):
            return
        catalog.note_archive(
            session,
            row_of(archive, self._set_id, self._cartridge_id, self._generation),
            deleted=archive.deleted,
        )
        events.record(
            session,
            run,
            M(
                "Archive {number} is sealed: {files} files, {size} on tape, SHA-256 {sha}…",
                number=archive.number,
                files=archive.files,
                size=units.size(archive.bytes),
                sha=archive.sha256[:12],
            ),
            step=Step.RUN_BACKUP,
        )

    def progress(self, files: int, size: int) -> None:
        """So much of the plan is done."""
        now = self._meter.update(files, size)
        if now:
            self._work.show_progress(now, in_words(now))

    def warned(self, path: str, reason: Message) -> None:
        """A file could not be backed up as it should be."""
        self._warnings += 1
        if self._warnings <= WARNINGS_TOLD:
            self._work.tell(M("{path}: {reason}", path=path, reason=reason.to_json()), level="warning")

    def is_ending(self) -> bool:
        return self._work.is_ending()

    def check(self) -> None:
        self._work.check()
        self._watch()


class Meter:
    """Turns counts into progress with rate and time left, at most a few times a second."""

    INTERVAL = 0.5

    def __init__(self) -> None:
        self._files_total: int | None = None
        self._bytes_total: int | None = None
        self._began = self._shown = time.monotonic()
        self._skipped: int | None = None

    def plan(self, files: int, size: int) -> None:
        self._files_total, self._bytes_total = files, size
        self._began = time.monotonic()

    def update(self, files: int, size: int) -> dict[str, Any] | None:
        """The progress to show, or None if the last one is recent enough."""
        moment = time.monotonic()
        if self._skipped is None:
            # The part of a resumed set that was already done does not count for the rate.
            self._skipped = size
        is_last = self._files_total is not None and files >= self._files_total
        if moment - self._shown < self.INTERVAL and not is_last:
            return None
        self._shown = moment
        rate = (size - self._skipped) / max(moment - self._began, 0.001)
        left = max((self._bytes_total or 0) - size, 0)
        return {
            "files": files,
            "bytes": size,
            "files_total": self._files_total,
            "bytes_total": self._bytes_total,
            "bytes_per_second": round(rate),
            "seconds_left": round(left / rate, 1) if rate > 0 else None,
        }


def in_words(now: dict[str, Any]) -> str:
    """Progress in one line, for Flower's page of the task."""
    total = now["bytes_total"] or 0
    percent = 100 * now["bytes"] / total if total else 100.0
    return f"{percent:.1f}% of {units.size(total)}, {units.rate(now['bytes_per_second'])}"


def row_of(record: ArchiveRecord, set_id: str, cartridge_id: int, generation: int) -> BackupArchive:
    """The row of a sealed archive on a generation of a cartridge."""
    return BackupArchive(
        set_id=set_id,
        number=record.number,
        cartridge_id=cartridge_id,
        generation=generation,
        name=record.name,
        bytes=record.bytes,
        sha256=record.sha256,
        files=record.files,
        content_bytes=record.size,
        record=record.to_json(),
    )


def rows(entries: Iterable[Entry]) -> Iterator[catalog.FileRow]:
    """The entries of an archive in the form of the catalogue."""
    for position, entry in enumerate(entries):
        name = entry.path
        path = name if name.isascii() else shown(name)
        # By position: this runs for every file of a set while the drive waits.
        yield catalog.FileRow(
            position,
            path,
            None if path == name else raw(name),
            entry.type.value,
            entry.size,
            entry.mtime_ns,
            entry.ctime_ns,
            signed(entry.inode),
            entry.blake3,
            entry.partial,
            entry.part.whole if entry.part else None,
        )


def resume_point(session: Session, stored: BackupSet) -> ResumePoint | None:
    """Where an interrupted set continues: after the last file of its last sealed archive."""
    last = catalog.last_file(session, stored.id)
    if last is None and not stored.archives:
        return None
    after = _path(last) if last else None
    return ResumePoint(
        archives=tuple(ArchiveRecord.from_json(archive.record) for archive in stored.archives),
        files=stored.files,
        bytes=stored.bytes,
        warnings=stored.warnings,
        after=after,
        begun=_begun(catalog.last_pieces(session, stored.id)),
    )


def _path(row: BackupFile) -> str:
    return text(row.raw_path) if row.raw_path else row.path


def _begun(pieces: list[BackupFile]) -> Begun | None:
    """The file of these pieces, and how much of it is on tape."""
    if not pieces:
        return None
    last = pieces[-1]
    return Begun(
        path=_path(last),
        mtime_ns=exact(last, "mtime_ns"),
        ctime_ns=exact(last, "ctime_ns"),
        inode=exact(last, "inode"),
        offset=sum(exact(piece, "size") for piece in pieces),
        digests=tuple(piece.blake3 or b"" for piece in pieces),
        partial=any(piece.partial for piece in pieces),
        whole=catalog.whole_of(last),
    )
