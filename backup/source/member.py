"""One file of a source, opened and inspected: all that its headers need, and its content to come."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from backup import system
from backup.entry import Entry, FileType, text
from backup.source import (
    holes,
    inodes,
    reach,
)
from backup.source import (
    xattrs as attributes,
)
from backup.source.dirlist import kind_of
from backup.source.scan import (
    SOCKET_OR_DEVICE,
    Warn,
    unreadable,
    unsupported,
)
from backup.source.stat_entry import entry_of
from policy.message import M, Message


class Member(NamedTuple):
    """An entry without a place so far, and the source of its data."""

    entry: Entry
    dev: int
    fd: int | None
    """Open for reading in the process that inspected it; None for a file without content. Whoever takes the
    member has it closed there."""
    sparse_map: bytes
    segments: holes.Segments
    """The parts of the file to read, in order."""
    whole: Entry | None = None
    """The file that this is a piece of."""
    reported: int = 0
    """The size that its file system reports, which may be less than its content."""
    is_on_share: bool = False

    @property
    def length(self) -> int:
        """The bytes of its data in the archive, without padding."""
        return len(self.sparse_map) + sum(part[1] for part in self.segments)


def examined(path: bytes) -> tuple[Member | None, list[tuple[bytes, Message]]]:
    """Inspect a path; None if it cannot be backed up. And the warnings."""
    warnings: list[tuple[bytes, Message]] = []
    member = _examine(path, lambda of, reason: warnings.append((of, reason)))
    return member, warnings


def _examine(path: bytes, warn: Warn) -> Member | None:
    try:
        status = reach.status(path)
        if stat.S_ISREG(status.st_mode):
            return _regular(path, status, warn)
        if unsupported(status.st_mode):
            warn(path, SOCKET_OR_DEVICE)
            return None
        return Member(_other(path, status, warn), status.st_dev, None, b"", [])
    except OSError as error:
        warn(path, unreadable(error))
        return None


def _regular(path: bytes, seen: os.stat_result, warn: Warn) -> Member | None:
    fd = reach.opened(path)
    try:
        status = os.fstat(fd)
        if not inodes.is_same(path, seen, status):
            warn(path, M("Not backed up: another file took its place while it was opened."))
            os.close(fd)
            return None
        parts = holes.find(fd, status.st_size) if system.has_holes(status) else None
        # Read one byte now: an unreadable file gets no member.
        system.probe(fd, parts[0][0] if parts else 0)
        entry = entry_of(path, FileType.FILE, status, _attributes(path, fd, warn))
        size = max(status.st_size, 0)
        beyond = _beyond(path, fd, size, warn)
    except BaseException:
        os.close(fd)
        raise
    if inodes.are_made_up(status.st_dev):
        entry = entry._replace(nlink=1)
    if status.st_size < 0:
        warn(path, M("Its file system reports a size below 0: what could be read of it is stored."))
    whole = (0, size + beyond)
    entry = entry._replace(size=sum(whole), sparse=parts is not None)
    is_on_share = inodes.is_on_share(path, status.st_dev)
    member = Member(entry, status.st_dev, fd, b"", [whole], None, status.st_size, is_on_share)
    if parts is None:
        return member
    if beyond:
        parts = [*(part for part in parts if part[1]), (size, beyond)]
    return member._replace(sparse_map=holes.to_map(parts), segments=parts)


MAX_BEYOND = 1 << 30
"""How many bytes beyond the reported size are tried: some files have no end."""


def _beyond(path: bytes, fd: int, size: int, warn: Warn) -> int:
    """How much content follows the reported size, which is wrong on some file systems. Raises OSError."""
    beyond = 0
    if size > MAX_LENGTH - READ_AT_ONCE:
        return 0
    os.lseek(fd, size, os.SEEK_SET)
    while part := os.read(fd, READ_AT_ONCE):
        beyond += len(part)
        if beyond >= MAX_BEYOND:
            warn(path, M("It is much longer than its file system reports: what follows is not backed up."))
            break
    return beyond


READ_AT_ONCE = 1 << 20
MAX_LENGTH = (1 << 63) - 1
"""Bytes that any file can have."""


def _other(path: bytes, status: os.stat_result, warn: Warn) -> Entry:
    with reach.named(path) as name:
        xattrs = _attributes(path, name, warn)
    kind = kind_of(status.st_mode)
    target = text(reach.target(path)) if kind is FileType.SYMLINK else None
    return entry_of(path, kind, status, xattrs, target=target)


def _attributes(path: bytes, file: int | bytes, warn: Warn) -> attributes.Xattrs:
    try:
        return attributes.read(file)
    except OSError as error:
        warn(path, M("Its extended attributes could not be read: {reason}.", reason=error.strerror))
        return ()
