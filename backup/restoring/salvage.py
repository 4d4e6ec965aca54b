"""Files of an archive whose index is damaged: found by its tar headers, verified by the catalogue."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

import zstandard

from backup.entry import Entry, FileType, Place, from_json, to_line
from backup.format.age import Identities, decrypted
from backup.format.sealed import found_on
from backup.format.tar_reader import members
from backup.format.volume_file import open_to_read
from backup.spool import spooled, spooling
from tape.drive import Volume


class Recovered:
    """The entries of an archive, put on the host's disk in one pass over it. Raises SpoolFailed."""

    @spooled
    def __init__(self) -> None:
        self._lines = tempfile.TemporaryFile()  # noqa: SIM115 - close() ends it
        self._linked: dict[str, Place | None] = {}

    def scan(self, volume: Volume, folder: str, number: int, keys: Identities) -> None:
        """Read the archive's headers from beginning to end, as far as they can be read.

        Raises FileNotFoundError, KeyNeeded, and OSError, ValueError or ZstdError if it cannot be read
        further.
        """
        name = found_on(volume, folder, number)
        framed = ".zst" in name
        with decrypted(open_to_read(volume, name), name, keys) as file:
            for entry in members(_plain(file, framed=framed), number, framed=framed):
                if entry.type is FileType.HARDLINK:
                    self._linked.setdefault(entry.target or "", None)
                with spooling():
                    self._lines.write(to_line(entry))

    def __iter__(self) -> Iterator[Entry]:
        """The entries; a hard link has the place of its first name, if that is in the same archive."""
        with spooling():
            self._lines.seek(0)
        for line in self._lines:
            entry = from_json(json.loads(line))
            if entry.path in self._linked:
                self._linked[entry.path] = entry.place
                entry = entry._replace(nlink=2)
            if entry.type is FileType.HARDLINK:
                entry = entry._replace(nlink=2, place=self._linked.get(entry.target or "") or entry.place)
            yield entry
            part = entry.part
            if part is not None and part.offset + entry.size == part.whole:
                # After its last piece the index has the file itself, and no tar does.
                whole = entry._replace(type=FileType.FILE, size=part.whole, sparse=False, part=None)
                yield whole._replace(pieces=part.number)

    def close(self) -> None:
        self._lines.close()


def _plain(file: BinaryIO, *, framed: bool) -> BinaryIO:
    if not framed:
        return file
    return cast("BinaryIO", zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))
