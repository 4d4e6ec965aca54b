"""The folder that is restored into: nothing is ever written outside it.

Each path is walked folder by folder from the target, following no link, so that no link leads out, neither
one from the tape nor an older one.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from backup import system
from backup.entry import raw, shown
from backup.errors import TargetFailed
from backup.restoring import dirfd
from policy.message import M, Message

_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class EntryRefused(Exception):
    """One entry cannot be restored; the others may be."""

    def __init__(self, reason: Message) -> None:
        super().__init__(reason)
        self.reason = reason


@contextmanager
def writing() -> Iterator[None]:
    """Translate errors of the target: EntryRefused for one entry, TargetFailed when all would fail."""
    try:
        yield
    except OSError as error:
        if error.errno in _FATAL:
            raise _failed(error) from error
        raise EntryRefused(
            M("It could not be written: {reason}.", reason=error.strerror or str(error))
        ) from error
    except (OverflowError, ValueError, NotImplementedError) as error:
        raise EntryRefused(M("It has a value or a type that this system cannot store.")) from error


def _failed(error: OSError) -> TargetFailed:
    return TargetFailed(
        M("The folder to restore into cannot be written: {reason}.", reason=error.strerror),
        M("Make room there or choose another folder, and restore again."),
    )


def split(path: str) -> tuple[bytes, ...]:
    """The names in an absolute path. Raises EntryRefused if one could lead out of the target."""
    parts = tuple(raw(path).split(b"/"))
    if len(parts) < 2 or parts[0] or b"\0" in raw(path):
        raise EntryRefused(M("Its path is not an absolute one."))
    parts = () if path == "/" else parts[1:]
    if any(part in (b"", b".", b"..") for part in parts):
        raise EntryRefused(M("Its path would lead out of the folder to restore into."))
    parts = system.below_a_target(parts)
    for part in parts:
        if not system.is_name(part):
            raise EntryRefused(M("Windows can have no file of the name {name}.", name=shown(part)))
    return parts


class TargetFolders:
    """Folders below the target, of which the last one is kept open. Raises TargetFailed."""

    def __init__(self, root: Path, on_make: Callable[[bytes], None] = lambda _path: None) -> None:
        """``on_make`` gets the path of each folder, from the target, before it is made."""
        self._on_make = on_make
        with _opening(root):
            root.mkdir(parents=True, exist_ok=True)
            self._root = dirfd.root(str(root))
        self._parts: tuple[bytes, ...] = ()
        self._held = dirfd.again(self._root)
        self._disks = {dirfd.device(self._root): dirfd.again(self._root)}

    def close(self) -> None:
        dirfd.close(self._held)
        dirfd.close(self._root)
        for folder in self._disks.values():
            dirfd.close(folder)

    def sync(self) -> None:
        """Flush written data to disk, once for many files. Raises TargetFailed."""
        for folder in self._disks.values():
            try:
                dirfd.sync(folder)
            except OSError as error:
                raise _failed(error) from error

    def status(self, parts: tuple[bytes, ...]) -> os.stat_result | None:
        """What exists under a path, following no link and making nothing; None if nothing does."""
        here = dirfd.again(self._root)
        try:
            for name in parts[:-1]:
                there = dirfd.enter(here, name)
                dirfd.close(here)
                here = there
            return dirfd.status(here, parts[-1])
        except OSError:
            return None
        finally:
            dirfd.close(here)

    def folder(self, parts: tuple[bytes, ...]) -> dirfd.Folder:
        """A folder, kept open until the next call; missing ones are made. Raises EntryRefused."""
        if parts[: len(self._parts)] != self._parts:
            self._go((), dirfd.again(self._root))
        for name in parts[len(self._parts) :]:
            self._go((*self._parts, name), self._enter((*self._parts, name)))
        return self._held

    def _go(self, parts: tuple[bytes, ...], folder: dirfd.Folder) -> None:
        dirfd.close(self._held)
        self._parts, self._held = parts, folder
        device = dirfd.device(folder)
        if device not in self._disks:
            self._disks[device] = dirfd.again(folder)

    def _enter(self, parts: tuple[bytes, ...]) -> dirfd.Folder:
        name = parts[-1]
        try:
            with suppress(FileNotFoundError):
                return dirfd.enter(self._held, name)
            self._on_make(b"/" + b"/".join(parts))
            with writing():
                dirfd.mkdir(self._held, name)
            return dirfd.enter(self._held, name)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise EntryRefused(M("A link or a file is in the way of its folder.")) from error
            raise EntryRefused(
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


@contextmanager
def placed(folder: dirfd.Folder, name: bytes) -> Iterator[bytes]:
    """Yield a temporary name; the file gets its real name, atomically, only if the body succeeds."""
    temporary = b".tapeline-" + secrets.token_hex(8).encode()
    try:
        yield temporary
        dirfd.rename(folder, temporary, name)
    finally:
        # Also after a rename: a rename does nothing if both names are already links to the same file.
        with suppress(FileNotFoundError):
            dirfd.unlink(folder, temporary)
