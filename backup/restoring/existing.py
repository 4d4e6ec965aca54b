"""Files that exist in the target: whether they are as in the backup."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from blake3 import blake3

from backup.entry import Entry, FileType, raw
from backup.restoring import dirfd
from backup.restoring.contents import Contents, DamagedMember
from backup.restoring.write_file import read_map
from backup.source import holes
from policy.message import M

BLOCK = 1 << 20


def is_as_backed_up(
    contents: Contents, entry: Entry, folder: dirfd.Folder, name: bytes, look_up: Callable[[], None]
) -> bool:
    """Whether a name in a folder has the content of an entry, or of a piece at its position.

    Ignores owners, modes and times. ``look_up`` is called regularly.
    Raises DamagedMember, and OSError of the disk.
    """
    kind = dirfd.kind(folder, name)
    if entry.type is FileType.SYMLINK:
        return kind == stat.S_IFLNK and dirfd.readlink(folder, name) == raw(entry.target or "")
    if entry.type is FileType.FIFO:
        return kind == stat.S_IFIFO
    if kind != stat.S_IFREG:
        return False
    fd = dirfd.read(folder, name)
    try:
        return _has_size(fd, entry) and _digest(fd, contents, entry, look_up) == entry.blake3
    finally:
        os.close(fd)


def _has_size(fd: int, entry: Entry) -> bool:
    size = os.fstat(fd).st_size
    if entry.part is None:
        return size == entry.size
    return size == entry.part.whole if entry.part.whole else size >= entry.part.offset + entry.size


def _digest(fd: int, contents: Contents, entry: Entry, look_up: Callable[[], None]) -> bytes | None:
    """The hash that the file would have on tape; None if it has data in a hole of the backup."""
    at = entry.part.offset if entry.part else 0
    if not entry.sparse:
        return digest_of(fd, at, entry.size, look_up)
    try:
        head, segments = read_map(entry, contents.read(entry.place))
    except ValueError as error:
        raise DamagedMember(M("Its map of holes is damaged.")) from error
    hasher, position = blake3(head), 0
    for start, length in (*segments, (entry.size, 0)):
        if not _is_hole(fd, at + position, at + start, look_up):
            return None
        for block in _blocks(fd, at + start, length, look_up):
            hasher.update(block)
        position = start + length
    return hasher.digest()


def digest_of(fd: int, offset: int, length: int, look_up: Callable[[], None]) -> bytes:
    """The hash of a part of a file."""
    hasher = blake3()
    for block in _blocks(fd, offset, length, look_up):
        hasher.update(block)
    return hasher.digest()


def _blocks(fd: int, offset: int, length: int, look_up: Callable[[], None]) -> Iterator[bytes]:
    os.lseek(fd, offset, os.SEEK_SET)
    while length and (block := os.read(fd, min(length, BLOCK))):
        length -= len(block)
        yield block
        look_up()


def _is_hole(fd: int, start: int, end: int, look_up: Callable[[], None]) -> bool:
    """Whether a part of a file is only zeros; holes of the file itself are not read."""
    for offset, length in holes.data_between(fd, start, end):
        if any(block.count(0) != len(block) for block in _blocks(fd, offset, length, look_up)):
            return False
    return True
