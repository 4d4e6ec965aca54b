"""The folder that is restored into: nothing is ever written outside it.

Each path is walked folder by folder from the target, with ``dir_fd`` and ``O_NOFOLLOW``, so that no symbolic
link leads out, be it from the tape or from before.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from backup import system
from backup.entry import raw, shown
from backup.errors import TargetFailed
from policy.message import M, Message

_FOLDER = os.O_RDONLY | system.FOLDER | system.WITHIN
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class Refused(Exception):
    """One entry cannot be restored; the others may."""

    def __init__(self, reason: Message) -> None:
        super().__init__(reason)
        self.reason = reason


@contextmanager
def writing() -> Iterator[None]:
    """Translate errors of the target: Refused for one entry, TargetFailed when all would fail."""
    try:
        yield
    except OSError as error:
        if error.errno in _FATAL:
            raise TargetFailed(
                M("The folder to restore into cannot be written: {reason}.", reason=error.strerror),
                M("Make room there or choose another folder, and restore again."),
            ) from error
        raise Refused(M("It could not be written: {reason}.", reason=error.strerror or str(error))) from error
    except (OverflowError, ValueError, NotImplementedError) as error:
        raise Refused(M("It has a value or a type that this system cannot store.")) from error


def split(path: str) -> tuple[bytes, ...]:
    """The names on an absolute path. Raises Refused where one could lead out of the target."""
    parts = tuple(raw(path).split(b"/"))
    if len(parts) < 2 or parts[0] or b"\0" in raw(path):
        raise Refused(M("Its path is not an absolute one."))
    parts = () if path == "/" else parts[1:]
    if any(part in (b"", b".", b"..") for part in parts):
        raise Refused(M("Its path would lead out of the folder to restore into."))
    return parts


class Target:
    """Folders below the target as descriptors; the last one stays open. Raises TargetFailed."""

    def __init__(self, root: Path, on_make: Callable[[bytes], None] = lambda _path: None) -> None:
        """``on_make`` is told of each folder, by its path from the target, before it is made."""
        self._on_make = on_make
        if not system.WALKS_BY_DESCRIPTOR:
            raise TargetFailed(
                M("Windows cannot restore safely into a folder: it knows no folder by its descriptor."),
                M("Restore on a Linux host, or by tar and zstd as README.txt on the tape says."),
            )
        with _opening(root):
            root.mkdir(parents=True, exist_ok=True)
            self._root = os.open(root, os.O_RDONLY | system.FOLDER)
        self._parts: tuple[bytes, ...] = ()
        self._fd = os.dup(self._root)

    def close(self) -> None:
        os.close(self._fd)
        os.close(self._root)

    def folder(self, parts: tuple[bytes, ...]) -> int:
        """A descriptor, good until the next call; what is missing is made. Raises Refused."""
        if parts[: len(self._parts)] != self._parts:
            self._go((), os.dup(self._root))
        for name in parts[len(self._parts) :]:
            self._go((*self._parts, name), self._enter((*self._parts, name)))
        return self._fd

    def _go(self, parts: tuple[bytes, ...], fd: int) -> None:
        os.close(self._fd)
        self._parts, self._fd = parts, fd

    def _enter(self, parts: tuple[bytes, ...]) -> int:
        name = parts[-1]
        try:
            with suppress(FileNotFoundError):
                return os.open(name, _FOLDER, dir_fd=self._fd)
            self._on_make(b"/" + b"/".join(parts))
            with writing():
                os.mkdir(name, dir_fd=self._fd)
            return os.open(name, _FOLDER, dir_fd=self._fd)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise Refused(M("A link or a file is in the way of its folder.")) from error
            raise Refused(
                M("Its folder could not be opened: {reason}.", reason=error.strerror or "")
            ) from error


@contextmanager
def _opening(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TargetFailed(
            M(
                "The folder {path} cannot be opened: {reason}.",
                path=shown(str(root)),
                reason=error.strerror or "",
            ),
            M("Choose a folder that can be written, and restore again."),
        ) from error


def kind(folder: int, name: bytes) -> int | None:
    """The type bits of what has this name now, or None if nothing has."""
    try:
        return stat.S_IFMT(os.lstat(name, dir_fd=folder).st_mode)
    except FileNotFoundError:
        return None


@contextmanager
def placed(folder: int, name: bytes) -> Iterator[bytes]:
    """Give a name to make something under; it takes its real name, at once, only when the body succeeds."""
    temporary = b".tapeline-" + secrets.token_hex(8).encode()
    try:
        yield temporary
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        # Also after a rename: it does nothing where both names are links to the same file already.
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
