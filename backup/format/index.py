"""The index of one archive: a head, a line for each entry, and a last line that proves it whole."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import orjson
import zstandard

from backup.entry import Entry, from_json, to_line
from backup.errors import SetUnreadable
from backup.format.age import SUFFIX, Identities, decrypted
from backup.format.volume_file import open_to_read, read_error
from backup.records import ArchiveRecord
from backup.spool import spooled, spooling
from policy.message import M
from tape.drive import Volume

T = TypeVar("T")

FORMAT = "tapeline-index"
VERSION = 1
WITH_PIECES = 2
"""The version of an index with pieces of files: a reader of the first version cannot join them."""
WITH_DUMPS = 3
"""The version of an index with pieces of dumps: an earlier reader takes their files for empty."""
SMALL = 16384
LINES = 256
"""So many are passed to the compressor at once."""


class IndexWriter:
    """An unfinished index, in the spool."""

    @spooled
    def __init__(self, path: Path, set_id: str, number: int, version: int = VERSION) -> None:
        self.path = path
        self._lines: list[bytes] = []
        self.length = 0
        """Bytes before compression; on the volume it takes fewer."""
        self._sink = zstandard.open(path, "wb", cctx=zstandard.ZstdCompressor(level=1, write_checksum=True))
        self._line({"format": FORMAT, "version": version, "set_id": set_id, "archive": number})

    def add(self, entry: Entry) -> None:
        """Raises SpoolFailed."""
        self.add_line(to_line(entry))

    def add_line(self, line: bytes) -> None:
        """Add an entry as its line. Raises SpoolFailed."""
        self.length += len(line)
        self._lines.append(line)
        if len(self._lines) == LINES:
            self._flush()

    @spooled
    def finish(self, record: ArchiveRecord) -> None:
        """Write the last line, and end the file."""
        self._flush()
        self._line({"end": record.to_json()})
        self._sink.close()

    @spooled
    def close(self) -> None:
        self._sink.close()

    @spooled
    def _flush(self) -> None:
        self._sink.write(b"".join(self._lines))
        self._lines.clear()

    def _line(self, document: dict[str, Any]) -> None:
        self._sink.write(json.dumps(document, ensure_ascii=False).encode() + b"\n")


def name_of(number: int) -> str:
    """The name of an archive's index, beside it on the volume."""
    return f"index-{number:06d}.jsonl.zst"


class IndexReader:
    """Iterate over the entries once; then ``record`` is the archive of the last line.

    The iteration raises SetUnreadable if the index is damaged or cut off, or TapeReadError.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.record: ArchiveRecord | None = None
        self._file = file
        self._name = name

    def __iter__(self) -> Iterator[Entry]:
        for count, (line, document) in enumerate(self._lines()):
            if self.record is not None:
                raise damaged(self._name)
            if "end" in document:
                self.record = self._read(_record, line, document)
                self._check_count(self.record, count)
                continue
            yield self._read(from_json, line, document)
        if self.record is None:
            raise damaged(self._name)

    def _lines(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        reader = zstandard.ZstdDecompressor().stream_reader(self._file, read_across_frames=True)
        lines = io.BufferedReader(reader)
        try:
            head = orjson.loads(lines.readline())
            check_version(head, FORMAT, WITH_DUMPS, self._name, VERSION, WITH_PIECES)
            while line := lines.readline():
                yield line, orjson.loads(line)
        except OSError as error:
            raise read_error(self._name, error) from error
        except (ValueError, TypeError, zstandard.ZstdError) as error:
            raise damaged(self._name) from error

    def _read(self, read: Callable[[dict[str, Any]], T], line: bytes, document: dict[str, Any]) -> T:
        try:
            try:
                return read(document)
            except TypeError:
                # A number of more than 64 bits, which the fast reader does not read exactly.
                return read(json.loads(line))
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(self._name) from error

    def _check_count(self, record: ArchiveRecord, count: int) -> None:
        if record.files + record.pieces + record.deleted != count:
            raise damaged(self._name)


def _record(line: dict[str, Any]) -> ArchiveRecord:
    return ArchiveRecord.from_json(line["end"])


def check_version(document: Any, form: str, version: int, name: str, *earlier: int) -> None:
    """Check that a document has the kind and a version that we read. Raises SetUnreadable."""
    if not isinstance(document, dict) or document.get("format") != form:
        raise damaged(name)
    if document.get("version") not in (version, *earlier):
        raise SetUnreadable(
            M(
                "{name} is of version {found}; this program reads version {version}.",
                name=name,
                found=ascii(document.get("version")),
                version=version,
            ),
            M("Restore with the release of Tapeline that wrote the set, or with tar and zstd."),
        )


def damaged(name: str) -> SetUnreadable:
    """The error for a document or index that cannot be understood."""
    return SetUnreadable(
        M("{name} on the tape is damaged or not whole.", name=name),
        M("The archives can still be read with tar and zstd: README.txt on the tape says how."),
    )


def in_spool(path: Path) -> Iterator[Entry]:
    """The entries of an index in the spool. Raises SpoolFailed."""
    with _opened(path) as file:
        yield from IndexReader(file, path.name)


@spooled
def _opened(path: Path) -> BinaryIO:
    return path.open("rb")


class Again:
    """Entries that can be read more than once: each iteration opens the index again."""

    def __init__(self, read: Callable[[], Iterator[Entry]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[Entry]:
        return self._read()


def found_on(volume: Volume, folder: str, number: int) -> str:
    """The name of an archive's index on the volume, encrypted or not."""
    name = f"{folder}/{name_of(number)}"
    return name + SUFFIX if volume.size(name + SUFFIX) is not None else name


def on_volume(volume: Volume, folder: str, number: int, keys: Identities = ()) -> Iterator[Entry]:
    """The entries of an index on the volume, after it was verified.

    Raises FileNotFoundError, TapeReadError, SetUnreadable, KeyNeeded.
    """
    name = found_on(volume, folder, number)
    with spooling():
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    with copy:
        _fetch(volume, name, copy, keys)
        yield from IndexReader(copy, name)


def _fetch(volume: Volume, name: str, copy: BinaryIO, keys: Identities) -> None:
    """Copy an index to the host's disk, and compare it with its checksum: seeking back on tape is slow."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    with decrypted(open_to_read(volume, name), name, keys) as file:
        for block in _blocks(file, name):
            with spooling():
                copy.write(block)
            try:
                frame.decompress(block)
            except zstandard.ZstdError as error:
                raise damaged(name) from error
    if not frame.eof or frame.unused_data:
        raise damaged(name)
    with spooling():
        copy.seek(0)


def _blocks(file: BinaryIO, name: str) -> Iterator[bytes]:
    while True:
        try:
            # Small blocks: a hostile one may unpack to thousands of times its size.
            block = file.read(SMALL)
        except OSError as error:
            if name.endswith(SUFFIX):
                raise damaged(name) from error
            raise read_error(name, error) from error
        if not block:
            return
        yield block


def record_on_volume(volume: Volume, folder: str, number: int) -> ArchiveRecord:
    """The archive of an index on the volume, after reading the whole index. Raises as above."""
    name = found_on(volume, folder, number)
    with decrypted(open_to_read(volume, name), name, ()) as file:
        reader = IndexReader(file, name)
        for _ in reader:
            pass
    if reader.record is None:
        raise damaged(name)
    return reader.record
