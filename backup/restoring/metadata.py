"""Give a restored file its owner, attributes, mode and times, as far as this process may."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable

from backup.entry import Entry, FileType, raw, shown
from backup.restoring import dirfd
from backup.source import xattrs
from policy.message import M, Message

_NOT_SET = (OSError, OverflowError)
EVERYWHERE = (1 << 31) * 10**9
"""Nanoseconds since 1970 of the first moment that some file systems cannot hold."""

if sys.platform == "win32":

    def apply_open(place: dirfd.Folder | int, entry: Entry) -> list[Message]:
        """Set the time and the read-only attribute of an open file or folder; Windows has neither the owner
        nor the mode of another system. Returns what could not be set."""
        try:
            dirfd.touch(place, entry.mtime_ns, read_only=not entry.mode & stat.S_IWUSR)
        except _NOT_SET as error:
            return [_problem(error)]
        return []

    def apply_named(_folder: dirfd.Folder, _name: bytes, _entry: Entry) -> list[Message]:
        """A link has no metadata of its own here."""
        return []

    def may_own() -> bool:
        """Owners of another system have no place here."""
        return False

else:

    def apply_open(fd: int, entry: Entry) -> list[Message]:
        """Set everything on an open file or folder; returns what could not be set."""
        problems = _owner(fd, entry) + _attributes(fd, entry)
        try:
            os.chmod(fd, mode_for(entry))
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        except _NOT_SET as error:
            problems.append(_problem(error))
        else:
            problems += _time_problem(entry, lambda: os.fstat(fd))
        return problems

    def apply_named(folder: int, name: bytes, entry: Entry) -> list[Message]:
        """The same for what cannot be opened safely: a symbolic link or a fifo in an open folder."""
        problems = _owner_named(folder, name, entry)
        problems += _attributes(b"/proc/self/fd/%d/%s" % (folder, name), entry)
        try:
            if entry.type is not FileType.SYMLINK:
                os.chmod(name, mode_for(entry), dir_fd=folder)
            os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=folder, follow_symlinks=False)
        except _NOT_SET as error:
            problems.append(_problem(error))
        else:
            problems += _time_problem(
                entry,
                lambda: os.stat(name, dir_fd=folder, follow_symlinks=False),
            )
        return problems

    def _time_problem(entry: Entry, look: Callable[[], os.stat_result]) -> list[Message]:
        """A file system silently stores the nearest time that it can represent."""
        if 0 <= entry.mtime_ns < EVERYWHERE or look().st_mtime_ns == entry.mtime_ns:
            return []
        return [M("This file system cannot hold its time: it has the nearest one.")]

    def mode_for(entry: Entry) -> int:
        """The mode; set-user-ID and set-group-ID are kept only for their intended owner."""
        if may_own() or entry.uid == os.geteuid():
            return entry.mode
        return entry.mode & ~(stat.S_ISUID | stat.S_ISGID)

    def may_own() -> bool:
        """Whether this process may give files away."""
        return os.geteuid() == 0

    def may_set(name: str) -> bool:
        """Whether this process may set an extended attribute of this name."""
        return name.startswith("user.") or may_own()

    def _owner(fd: int, entry: Entry) -> list[Message]:
        if not may_own():
            return []
        try:
            os.chown(fd, entry.uid, entry.gid)
        except _NOT_SET as error:
            return [M("Its owner could not be set: {reason}.", reason=_reason(error))]
        return []

    def _owner_named(folder: int, name: bytes, entry: Entry) -> list[Message]:
        if not may_own():
            return []
        try:
            os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
        except _NOT_SET as error:
            return [M("Its owner could not be set: {reason}.", reason=_reason(error))]
        return []

    def _attributes(file: int | bytes, entry: Entry) -> list[Message]:
        problems = []
        for name, value in entry.xattrs:
            if may_set(name):
                try:
                    xattrs.write(file, raw(name), value)
                except OSError as error:
                    problems.append(
                        M(
                            "Its attribute {name} could not be set: {reason}.",
                            name=shown(name),
                            reason=error.strerror,
                        )
                    )
        return problems


def _problem(error: OSError | OverflowError) -> Message:
    return M("Its mode or time could not be set: {reason}.", reason=_reason(error))


def _reason(error: OSError | OverflowError) -> str:
    return str(error) if isinstance(error, OverflowError) else error.strerror or ""
