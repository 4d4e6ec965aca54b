"""Small files prepared for the archive: headers, content and hash, everything but their place."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress

from blake3 import blake3

from backup import elsewhere, system
from backup.entry import FileType, line_head
from backup.format import tar
from backup.source import inodes, reach
from backup.source import xattrs as attributes
from backup.source.stat_entry import entry_of

SMALL = 256 * 1024
"""Bytes of content of the largest file that is packed whole."""

Packed = tuple[int, int, bytes]
"""Of one file: the length of its headers, that of its content, and its line in the index up to its place."""

Pack = tuple[bytes, list[Packed | None]]
"""The tar bytes of several files, one after the other (headers, content, padding), and the description of
each; None for one that is not in it. Plain tuples: they go to another process."""


_ZEROS = bytes(tar.BLOCK)


def is_small(mode: int, nlink: int, size: int) -> bool:
    """Whether a file can be packed, unless it has holes: a plain file with one name."""
    return stat.S_ISREG(mode) and nlink == 1 and 0 <= size <= SMALL


def pack(paths: Sequence[bytes], each: reach.Each = map) -> Pack:
    """Pack files, in their order; all of them are requested from the disk before the first is read. ``each``:
    as ``map``, which may do several at once.

    A file that is not as expected (deleted, changed, larger, unreadable, with a second name) is left out: the
    caller inspects it itself, and reports what is wrong with it.
    """
    files = list(each(_opened, paths))
    try:
        packed = list(each(_packed, paths, files))
    finally:
        _close(opened[0] for opened in files if opened is not None)
    data = b"".join(part for _, parts in packed for part in parts)
    return data, [description for description, _ in packed]


def length_of(packed: Packed) -> int:
    """The bytes that a file takes in the tar."""
    head, length, _ = packed
    return head + length + tar.padding(length)


def _opened(path: bytes) -> tuple[int, os.stat_result] | None:
    try:
        # It must not be opened if it has become a fifo or a device meanwhile.
        native = system.native(elsewhere.of(path))
        status = os.lstat(native)
        if not is_small(status.st_mode, status.st_nlink, status.st_size) or system.has_holes(status):
            return None
        fd = os.open(native, system.READ)
    except OSError:
        return None
    with suppress(OSError):  # a file system that supports no advice is read all the same
        system.read_soon(fd, 0, SMALL)
    return fd, status


_LEFT_OUT: tuple[None, tuple[bytes, ...]] = (None, ())


def _packed(
    path: bytes, opened: tuple[int, os.stat_result] | None
) -> tuple[Packed | None, tuple[bytes, ...]]:
    """The description of a file, and the parts of its data."""
    if opened is None:
        return _LEFT_OUT
    fd, status = opened
    length = status.st_size
    try:
        xattrs = attributes.read(fd)
        # One byte more than expected: this detects a file that grows.
        content = os.read(fd, length + 1)
        after = os.fstat(fd)
    except OSError:
        return _LEFT_OUT
    if len(content) != length or not inodes.is_unchanged(path, status, after):
        return _LEFT_OUT
    entry = entry_of(path, FileType.FILE, status, xattrs, blake3=blake3(content).digest())
    head = tar.header(entry, length)
    parts = (head, content, _ZEROS[: tar.padding(length)])
    return (len(head), length, line_head(entry)), parts


def _close(files: Iterable[int]) -> None:
    for fd in files:
        os.close(fd)
