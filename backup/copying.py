"""Copy a set to another tape, byte for byte: from its tapes to the host's disk, then to the other tape."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from backup.errors import SetExists, SetUnreadable
from backup.format import documents, index, manifest
from backup.format.documents import COMPLETE, folder_of
from backup.format.readme import README
from backup.format.sealed import whole
from backup.format.volume_file import BLOCK, blocks_of, confirm, hashed, open_to_read, put, read_error
from backup.records import ArchiveRecord
from backup.spool import failed, spooling
from policy.message import M
from tape.drive import Volume
from tape.durable import sync_folder
from tape.errors import DriveError, TapeReadError

Tick = Callable[[int], None]
"""Called after each MiB or so with its bytes; what it raises ends the copying."""

LIST = "files.jsonl"
_ARCHIVE = re.compile(r"(?:data|index)-(\d+)\..*")


@dataclass(frozen=True, slots=True)
class SpooledFile:
    """A file of a set's folder, whole on the host's disk."""

    name: str
    bytes: int
    sha256: str


class CopySpool:
    """The files of one set on the host's disk: each is there whole and verified, or not at all."""

    def __init__(self, folder: Path) -> None:
        """Creates the folder. Raises SpoolFailed."""
        self._folder = folder
        with spooling():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._files = {each.name: each for each in self._listed()}

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(each.bytes for each in self._files.values())

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return name in self._files

    def has_archive(self, record: ArchiveRecord) -> bool:
        """Whether an archive is there, with its index."""
        return self.has(record.name) and any(self.has(name) for name in _index_names(record))

    def has_all(self, records: Iterable[ArchiveRecord]) -> bool:
        """Whether a whole set is there."""
        is_complete = any(name.startswith("complete") for name in self._files)
        return is_complete and all(map(self.has_archive, records))

    def in_order(self) -> list[SpooledFile]:
        """The files in the order in which they are written: ``complete.json`` is the last."""
        return sorted(self._files.values(), key=lambda file: _order(file.name))

    def blocks(self, file: SpooledFile, tick: Tick) -> Iterator[bytes]:
        """The content of a file. Raises SpoolFailed, also if it is not what was read from the tape."""
        digest = hashlib.sha256()
        with spooling():
            for block in hashed(blocks_of(self._folder / file.name), digest):
                yield block
                tick(len(block))
        if digest.hexdigest() != file.sha256:
            raise failed(OSError(0, f"{file.name} is not as it was read from the tape"))

    def take(self, volume: Volume, place: str, expected: tuple[int, str] | None, tick: Tick) -> None:
        """Read a file of a volume into the spool; ``expected``: its bytes and SHA-256, if they are known.

        Raises SetUnreadable if it is another or missing, TapeReadError, SpoolFailed.
        """
        name = place.rpartition("/")[2]
        path, digest, size = self._folder / f"{name}.part", hashlib.sha256(), 0
        with spooling(), path.open("wb", buffering=0) as file:
            for block in hashed(_blocks_on(volume, place), digest):
                file.write(block)
                size += len(block)
                tick(len(block))
            os.fsync(file.fileno())
        if expected is not None and expected != (size, digest.hexdigest()):
            raise SetUnreadable(
                M("{name} on the tape is damaged: it was not copied.", name=place),
                M("See with 'tapeline sets verify' what of the set is whole. Copy it from another tape."),
            )
        self._enter(path, SpooledFile(name, size, digest.hexdigest()))

    def _enter(self, path: Path, file: SpooledFile) -> None:
        with spooling():
            path.replace(self._folder / file.name)
            with (self._folder / LIST).open("a", encoding="utf-8") as listed:
                listed.write(json.dumps([file.name, file.bytes, file.sha256]) + "\n")
                listed.flush()
                os.fsync(listed.fileno())
            sync_folder(self._folder)
        self._files[file.name] = file

    def _listed(self) -> Iterator[SpooledFile]:
        """The whole files. A line that was cut off, or names a file that is not there, counts for nothing."""
        with suppress(FileNotFoundError):
            for line in (self._folder / LIST).read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, TypeError, FileNotFoundError):
                    file = SpooledFile(*json.loads(line))
                    if (self._folder / file.name).stat().st_size == file.bytes:
                        yield file


def read_archive(volume: Volume, set_id: str, record: ArchiveRecord, spool: CopySpool, tick: Tick) -> None:
    """Read an archive and its index. Raises as ``CopySpool.take``."""
    folder = folder_of(set_id)
    name = index.found_on(volume, folder, record.number)
    size = volume.size(name)
    known = None if record.index_sha256 is None or size is None else (size, record.index_sha256)
    spool.take(volume, name, known, tick)
    spool.take(volume, f"{folder}/{record.name}", (record.bytes, record.sha256), tick)


def read_documents(volume: Volume, set_id: str, spool: CopySpool, tick: Tick) -> None:
    """Read everything of a set besides its archives, from the tape on which it is complete. Raises
    SetUnreadable, TapeReadError, SpoolFailed."""
    folder = folder_of(set_id)
    if documents.read(volume, set_id, COMPLETE) is None:
        raise index.damaged(f"{folder}/complete.json")
    database = manifest.read_manifest(volume, set_id).database
    known = {database.name: (database.bytes, database.sha256)} if database else {}
    for name in sorted(volume.names(folder), key=_order):
        if not _ARCHIVE.fullmatch(name) and not spool.has(name):
            spool.take(volume, f"{folder}/{name}", known.get(name), tick)


class CopyWriting:
    """Writes the folder of a set to a volume: archive by archive, ``complete.json`` last. What an interrupted
    call has left whole is not written again."""

    def __init__(self, volume: Volume, set_id: str, spool: CopySpool, tick: Tick) -> None:
        self._volume = volume
        self._set_id = set_id
        self._folder = folder_of(set_id)
        self._spool = spool
        self._tick = tick
        self._mine: list[str] = []

    def run(self) -> None:
        """Write and seal. Raises TapeFull, TapeWriteError, SealFailed, SpoolFailed; SetExists if the volume
        has a set of this id that is another; and what ``tick`` raises."""
        if self._volume.size("README.txt") is None:
            put(self._volume, "README.txt", [README.encode()])
        sizes: dict[str, int] = {}
        files = self._spool.in_order()
        for file, follows in zip(files, [*files[1:], None], strict=True):
            place = f"{self._folder}/{file.name}"
            if not self._is_there(place, file):
                self._mine.append(place)
                put(self._volume, place, self._spool.blocks(file, self._tick))
            sizes[place] = file.bytes
            if follows is None or follows.name.startswith(("data", "complete")):
                self._volume.seal()
                confirm(self._volume, sizes)
                sizes = {}

    def withdraw(self) -> None:
        """Remove what this call has written: the tape is as it was before, with less room. A tape that takes
        no more keeps it, and it counts for nothing."""
        with suppress(DriveError):
            for place in reversed(self._mine):
                self._volume.remove(place)
            if self._mine and not self._volume.names(self._folder):
                self._volume.remove(self._folder)
            self._volume.seal()

    def _is_there(self, place: str, file: SpooledFile) -> bool:
        """Whether the volume has a file already. One that was cut off is removed; nothing that counts is."""
        size = self._volume.size(place)
        if size is None:
            return False
        if size == file.bytes and self._is_same(place, file):
            return True
        if self._counts(file.name):
            raise SetExists(
                M(
                    "The tape has a set '{set}' already, and {name} of it is another.",
                    set=self._set_id,
                    name=place,
                ),
                M("Enter what is on the tape: tapeline tape import. Copy the set to another tape."),
            )
        self._volume.remove(place)
        return False

    def _is_same(self, place: str, file: SpooledFile) -> bool:
        digest = hashlib.sha256()
        try:
            for block in hashed(_blocks_on(self._volume, place), digest):
                self._tick(len(block))
        except TapeReadError:
            return False
        return digest.hexdigest() == file.sha256

    def _counts(self, name: str) -> bool:
        """Whether a file on the volume may be a part of a set that somebody needs."""
        if documents.is_complete(self._volume, self._set_id):
            return True
        archive = _ARCHIVE.fullmatch(name)
        return archive is not None and whole(self._volume, self._set_id, int(archive[1])) is not None


def _blocks_on(volume: Volume, place: str) -> Iterator[bytes]:
    """Raises SetUnreadable if there is no such file, TapeReadError."""
    try:
        opened = open_to_read(volume, place)
    except FileNotFoundError as error:
        raise index.damaged(place) from error
    with opened as file:
        while True:
            try:
                block = file.read(BLOCK)
            except OSError as error:
                raise read_error(place, error) from error
            if not block:
                return
            yield block


def _order(name: str) -> tuple[int, int, str]:
    """The order on tape: what the set is, each archive and its index, the database, and that it is
    complete."""
    archive = _ARCHIVE.fullmatch(name)
    if archive:
        return 1, int(archive[1]), name
    last = ("database", "complete")
    return next((2 + at for at, begin in enumerate(last) if name.startswith(begin)), 0), 0, name


def _index_names(record: ArchiveRecord) -> tuple[str, str]:
    name = index.name_of(record.number)
    return name, f"{name}.age"
