"""One file of a source, opened and looked at: all that its headers need, and its content to come."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from backup import attributes, holes, system
from backup.entry import Entry, FileType, text
from backup.listing import kind_of
from backup.scan import SOCKET_OR_DEVICE, Warn, unreadable, unsupported
from backup.status import entry_of
from policy.message import M


class Member(NamedTuple):
    """An entry that has no place yet, and where its data come from."""

    entry: Entry
    dev: int
    fd: int | None
    """Open for reading; None for what has no content. Whoever takes the member closes it."""
    sparse_map: bytes
    segments: holes.Segments
    """The parts of the file to read, in order."""
    whole: Entry | None = None
    """The file that this is a piece of."""

    @property
    def length(self) -> int:
        """The bytes of its data in the archive, without padding."""
        return len(self.sparse_map) + sum(part[1] for part in self.segments)


def examine(path: bytes, warn: Warn) -> Member | None:
    """Look at a path; None, and a warning, when it cannot be backed up."""
    try:
        status = os.lstat(system.native(path))
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
    fd = os.open(system.native(path), system.READ)
    try:
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != (seen.st_dev, seen.st_ino):
            warn(path, M("Not backed up: another file took its place while it was opened."))
            os.close(fd)
            return None
        parts = holes.find(fd, status.st_size) if system.has_holes(status) else None
        # One byte now: a file that cannot be read at all gets no member.
        system.probe(fd, parts[0][0] if parts else 0)
        entry = entry_of(path, FileType.FILE, status, _attributes(path, fd, warn))
    except BaseException:
        os.close(fd)
        raise
    if parts is None:
        return Member(entry, status.st_dev, fd, b"", [(0, status.st_size)])
    return Member(entry._replace(sparse=True), status.st_dev, fd, holes.to_map(parts), parts)


def _other(path: bytes, status: os.stat_result, warn: Warn) -> Entry:
    xattrs = _attributes(path, path, warn)
    kind = kind_of(status.st_mode)
    return entry_of(path, kind, status, xattrs, target=_said(path) if kind is FileType.SYMLINK else None)


def _said(link: bytes) -> str:
    return text(os.readlink(system.native(link)))  # noqa: PTH115 - a Path cannot hold bytes


def _attributes(path: bytes, file: int | bytes, warn: Warn) -> attributes.Attributes:
    try:
        return attributes.read(file)
    except OSError as error:
        warn(path, M("Its extended attributes could not be read: {reason}.", reason=error.strerror))
        return ()
