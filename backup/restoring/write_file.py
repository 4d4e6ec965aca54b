"""One file's content from the tape to the disk, verified by its hash before it counts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from blake3 import blake3

from backup.entry import Entry
from backup.format.tar import BLOCK
from backup.restoring import dirfd, metadata
from backup.restoring.contents import Contents, DamagedMember
from backup.source.holes import MapReader, Segments
from policy.message import M, Message


def receive(
    contents: Contents, entry: Entry, folder: dirfd.Folder, name: bytes, look_up: Callable[[int], None]
) -> list[Message]:
    """Make a new file with the content and the metadata of an entry; returns what differs from the backup.

    Raises DamagedMember, and OSError of the disk.
    """
    fd = dirfd.create(folder, name)
    try:
        blocks = _verified(contents, entry, look_up)
        if entry.sparse:
            _write_sparse(fd, entry, blocks)
        else:
            _write_plain(fd, entry, blocks)
        problems = metadata.apply_open(fd, entry)
        dirfd.settle(fd)
    finally:
        os.close(fd)
    if entry.partial:
        problems.append(M("Its content is as far as it could be read: it changed or failed in the backup."))
    return problems


def receive_piece(contents: Contents, entry: Entry, fd: int, look_up: Callable[[int], None]) -> None:
    """Write a piece of a file to its position in an open one.

    Raises DamagedMember, and OSError of the disk.
    """
    assert entry.part
    blocks = _verified(contents, entry, look_up)
    if entry.sparse:
        _write_parts(fd, entry, blocks, entry.part.offset)
    else:
        os.lseek(fd, entry.part.offset, os.SEEK_SET)
        _write_plain(fd, entry, blocks)


def _verified(contents: Contents, entry: Entry, look_up: Callable[[int], None]) -> Iterator[memoryview]:
    """The data of an entry; after the last block they are verified."""
    hasher = blake3()
    for block in contents.read(entry.place):
        hasher.update(block)
        yield block
        look_up(len(block))
    if hasher.digest() != entry.blake3:
        raise DamagedMember(M("Its data on the tape are not what was backed up: the hash differs."))


def _write_plain(fd: int, entry: Entry, blocks: Iterator[memoryview]) -> None:
    if entry.size != entry.place.length:
        raise DamagedMember(M("Its index is wrong about its size."))
    for block in blocks:
        _write_all(fd, block)


def _write_sparse(fd: int, entry: Entry, blocks: Iterator[memoryview]) -> None:
    os.ftruncate(fd, entry.size)
    _write_parts(fd, entry, blocks, 0)


def _write_parts(fd: int, entry: Entry, blocks: Iterator[memoryview], at: int) -> None:
    """Write the data between the holes, beginning ``at`` this position of the file."""
    data = _Data(blocks)
    try:
        _, segments = _map_of(entry, data)
    except ValueError as error:
        raise DamagedMember(M("Its map of holes is damaged.")) from error
    for offset, length in segments:
        os.lseek(fd, at + offset, os.SEEK_SET)
        for part in data.take(length):
            _write_all(fd, part)
    data.end()


def read_map(entry: Entry, blocks: Iterator[memoryview]) -> tuple[bytes, Segments]:
    """The map of holes at the beginning of an entry's data, as bytes and as segments.

    Raises ValueError, DamagedMember.
    """
    return _map_of(entry, _Data(blocks))


def _map_of(entry: Entry, data: _Data) -> tuple[bytes, Segments]:
    reader = MapReader(entry.size)
    blocks = [b"".join(data.take(BLOCK))]
    while not reader.feed(blocks[-1]):
        blocks.append(b"".join(data.take(BLOCK)))
    return b"".join(blocks), reader.segments


class _Data:
    """Turns blocks of any length into blocks of other lengths."""

    def __init__(self, blocks: Iterator[memoryview]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def take(self, length: int) -> Iterator[memoryview]:
        """The next bytes. Raises DamagedMember if there are not so many."""
        while length:
            if not self._rest:
                self._rest = next(self._blocks, memoryview(b""))
                if not self._rest:
                    raise DamagedMember(M("Its data end before its map of holes says."))
            part = self._rest[:length]
            self._rest = self._rest[len(part) :]
            length -= len(part)
            yield part

    def end(self) -> None:
        """Check that nothing is left, which also verifies the hash. Raises DamagedMember."""
        if self._rest or next(self._blocks, None) is not None:
            raise DamagedMember(M("Its data go on after its map of holes says."))


def _write_all(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]
