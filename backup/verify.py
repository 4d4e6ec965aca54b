"""Read a set back, all of it or a sample, and name everything that differs from what was written."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from blake3 import blake3

from backup.entry import Entry, FileType, shown
from backup.errors import SetUnreadable
from backup.format import documents, index
from backup.format.age import SUFFIX
from backup.format.documents import COMPLETE, SET, folder_of
from backup.format.manifest import read_manifest
from backup.format.volume_file import BLOCK, open_to_read, read_error
from backup.records import ArchiveRecord
from backup.restoring.contents import Contents, DamagedMember
from policy.message import M, Message
from tape.drive import Volume
from tape.errors import TapeReadError


@dataclass(slots=True)
class VerifyReport:
    """What was read, and what is wrong. Paths and names are for people, and always UTF-8."""

    files: int = 0
    """Files whose content was read and compared, or that are in a whole archive."""
    read: int = 0
    """Bytes read from the tape."""
    damaged: list[tuple[str, Message]] = field(default_factory=list)
    """Files of the source, and files of the set on the tape."""


class Verification:
    """Compares a set on a volume with its own hashes.

    ``percent`` 100 reads every byte; less reads that share of the files at random, but at least one of each
    archive, and all indexes and documents. ``on_read(bytes)`` and ``check`` are called every MiB or so; an
    exception from them ends it. A part that the drive cannot read counts as damaged.
    """

    def __init__(
        self,
        volume: Volume,
        set_id: str,
        *,
        percent: int = 100,
        seed: int = 0,
        on_read: Callable[[int], None] = lambda _bytes: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.report = VerifyReport()
        self._volume = volume
        self._set_id = set_id
        self._folder = folder_of(set_id)
        self._percent = percent
        self._chance = random.Random(seed)  # noqa: S311 - a sample, not a secret
        self._on_read, self._check = on_read, check

    def documents(self, *, complete: bool) -> None:
        """``set.json``, and ``complete.json`` if this volume must have one."""
        for form in (SET, COMPLETE) if complete else (SET,):
            name = f"{self._folder}/{documents.STEMS[form]}.json"
            try:
                if documents.read(self._volume, self._set_id, form) is None:
                    self._damaged(name, DAMAGED)
            except (SetUnreadable, TapeReadError) as error:
                self._damaged(name, error.message)

    def database(self) -> None:
        """The dump of the database, if the set has one on this volume."""
        try:
            manifest = read_manifest(self._volume, self._set_id)
        except (SetUnreadable, TapeReadError):
            return  # ``documents`` reports that
        if manifest.database is None:
            return
        name = f"{self._folder}/{manifest.database.name}"
        if not self._is_as_written(name, manifest.database.bytes, manifest.database.sha256):
            self._damaged(name, DAMAGED)

    def archive(self, record: ArchiveRecord) -> None:
        """One archive with its index, as the catalogue or the manifest records it."""
        self._index(record)
        if record.name.endswith(SUFFIX):
            self._closed(record)
        elif self._percent < 100:
            self._files(record, lambda: self._chance.random() * 100 < self._percent)
        elif self._is_as_written(f"{self._folder}/{record.name}", record.bytes, record.sha256):
            self.report.files += record.files
        else:
            before = len(self.report.damaged)
            self._files(record, lambda: True)
            if len(self.report.damaged) == before:
                # Headers or padding: every file can be restored, but a tar may stumble.
                self._damaged(f"{self._folder}/{record.name}", M("It is damaged between its files."))

    def _closed(self, record: ArchiveRecord) -> None:
        """An encrypted archive: without the key it can only be compared as a whole. A sample takes some of
        them."""
        name = f"{self._folder}/{record.name}"
        if self.report.files and self._chance.random() * 100 >= self._percent:
            return
        if self._is_as_written(name, record.bytes, record.sha256):
            self.report.files += record.files
        else:
            self._damaged(name, DAMAGED)

    def _index(self, record: ArchiveRecord) -> None:
        name = index.found_on(self._volume, self._folder, record.number)
        size = self._volume.size(name)
        if record.index_sha256 is not None and not self._is_as_written(name, size, record.index_sha256):
            self._damaged(name, DAMAGED)

    def _is_as_written(self, name: str, size: int | None, sha256: str) -> bool:
        digest, length = hashlib.sha256(), 0
        try:
            for block in self._blocks(name):
                digest.update(block)
                length += len(block)
        except (FileNotFoundError, TapeReadError):
            return False
        return (length, digest.hexdigest()) == (size, sha256)

    def _blocks(self, name: str) -> Iterator[bytes]:
        with open_to_read(self._volume, name) as file:
            while True:
                try:
                    block = file.read(BLOCK)
                except OSError as error:
                    raise read_error(name, error) from error
                if not block:
                    return
                yield block
                self._read(len(block))

    def _read(self, count: int) -> None:
        self.report.read += count
        self._on_read(count)
        self._check()

    def _files(self, record: ArchiveRecord, is_chosen: Callable[[], bool]) -> None:
        """Compare files of an archive with their own hashes, by its index."""
        name = index.found_on(self._volume, self._folder, record.number)
        contents = Contents(self._volume, self._folder)
        last, compared = None, False
        try:
            for last in _with_content(index.on_volume(self._volume, self._folder, record.number)):
                if is_chosen():
                    self._file(contents, last)
                    compared = True
            if last is not None and not compared:
                self._file(contents, last)
        except (SetUnreadable, FileNotFoundError, TapeReadError):
            self._damaged(name, M("The files of this archive could not be compared: its index is damaged."))
        finally:
            contents.close()

    def _file(self, contents: Contents, entry: Entry) -> None:
        hasher = blake3()
        try:
            for block in contents.read(entry.place):
                hasher.update(block)
                self._read(len(block))
        except DamagedMember as error:
            self._damaged(shown(entry.path), error.reason)
            return
        if hasher.digest() == entry.blake3:
            # A file in pieces is one file, and counts if its archives are whole.
            self.report.files += entry.type is FileType.FILE
        else:
            self._damaged(
                shown(entry.path), M("Its data on the tape are not what was backed up: the hash differs.")
            )

    def _damaged(self, name: str, reason: Message) -> None:
        if (name, reason) not in self.report.damaged:
            self.report.damaged.append((name, reason))


DAMAGED = M("It is damaged, or not whole.")


def _with_content(entries: Iterable[Entry]) -> Iterator[Entry]:
    kinds = (FileType.FILE, FileType.PIECE)
    return (entry for entry in entries if entry.type in kinds and entry.blake3 and not entry.pieces)
