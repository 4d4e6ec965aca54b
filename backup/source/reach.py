"""Calls on a path of the sources of any length: the system accepts only so much of a path at once."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from typing import Any

from backup import elsewhere, system

if sys.platform == "win32":
    MAX_LENGTH = 1 << 16
elif sys.platform == "darwin":
    MAX_LENGTH = 1023
else:
    MAX_LENGTH = 4095
"""Bytes of a path that the system accepts."""

STRIDE = MAX_LENGTH // 2
"""So many bytes of a long path are walked in one step: they fit with the name of a descriptor before them."""

LEASE = 60.0
"""Seconds in which the owner of a lease must release it: Linux breaks it after 45."""
PAUSE = 0.05

Each = Callable[..., Iterable[Any]]
"""As ``map``."""

_WALK = getattr(os, "O_PATH", os.O_RDONLY) | system.FOLDER | system.WITHIN


class Leased(BlockingIOError):
    """Another process has a lease on a file, and did not release it in time."""


def is_long(path: bytes) -> bool:
    """Whether the system does not accept this path in one call."""
    return len(path) > MAX_LENGTH


@contextmanager
def near(path: bytes) -> Iterator[tuple[int | None, bytes]]:
    """The descriptor of a folder above a path, and the rest of it; None if the path needs none.

    Raises OSError; ELOOP or ENOTDIR if a link or a file has replaced a folder on the way.
    """
    path = elsewhere.of(path)
    if not is_long(path):
        yield None, system.native(path)
        return
    folder, rest = os.open(b"/", _WALK), path.lstrip(b"/")
    try:
        while len(rest) > STRIDE:
            step, rest = _divided(rest)
            folder = _entered(folder, step)
        yield folder, rest
    finally:
        os.close(folder)


def _divided(path: bytes) -> tuple[bytes, bytes]:
    """As much of a path as is walked in one step, and the rest."""
    head = path[:STRIDE].rpartition(b"/")[0]
    return head, path[len(head) + 1 :]


def _entered(folder: int, path: bytes) -> int:
    try:
        return os.open(path, _WALK, dir_fd=folder)
    finally:
        os.close(folder)


def status(path: bytes) -> os.stat_result:
    """The status of a path itself, following no link. Raises OSError."""
    with near(path) as (folder, rest):
        return os.lstat(rest, dir_fd=folder)


def opened(path: bytes, flags: int = system.READ) -> int:
    """Open a path; returns its descriptor. Raises OSError, Leased."""
    with near(path) as (folder, rest):
        return patiently(lambda: os.open(rest, flags, dir_fd=folder))


def patiently(open_it: Callable[[], int]) -> int:
    """Open a file that may be under a lease, which a file server takes for its clients.

    The first try requests its release, and each later one checks whether it was released. Raises OSError,
    Leased.
    """
    ends = time.monotonic() + LEASE
    while True:
        try:
            return open_it()
        except BlockingIOError as error:
            if time.monotonic() > ends:
                raise Leased(*error.args) from error
        time.sleep(PAUSE)


@contextmanager
def names(folder: bytes) -> Iterator[Iterator[bytes]]:
    """The names in a folder, in no order. Raises OSError."""
    at = elsewhere.of(folder)
    if not is_long(at):
        with os.scandir(system.native(at)) as entries:
            yield (entry.name for entry in entries)
        return
    descriptor = opened(folder, os.O_RDONLY | system.FOLDER)
    try:
        with os.scandir(descriptor) as children:
            yield (os.fsencode(entry.name) for entry in children)
    finally:
        os.close(descriptor)


def _one_by_one(folder: bytes, names: Sequence[bytes]) -> Iterator[os.stat_result | None]:
    base = folder.rstrip(b"/") + b"/"
    for name in names:
        yield _status(base + name)


def _status(path: bytes) -> os.stat_result | None:
    try:
        return status(path)
    except OSError:
        return None


if sys.platform == "win32":

    def statuses(folder: bytes, names: Sequence[bytes], each: Each = map) -> Iterator[os.stat_result | None]:
        """The status of names in a folder, following no link; None for one that cannot be inspected."""
        base = folder.rstrip(b"/") + b"/"
        yield from each(_status, [base + name for name in names])

else:

    def statuses(folder: bytes, names: Sequence[bytes], each: Each = map) -> Iterator[os.stat_result | None]:
        """The status of names in a folder, following no link; None for one that cannot be inspected."""
        if elsewhere.has_own(folder):
            yield from _one_by_one(folder, names)
            return
        # By the folder's descriptor: the system need not walk the whole path for each name.
        try:
            held = opened(folder, os.O_RDONLY | system.FOLDER)
        except OSError:
            yield from repeat(None, len(names))
            return
        try:
            yield from each(partial(_status_in, held), names)
        finally:
            os.close(held)

    def _status_in(folder: int, name: bytes) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return None


def target(link: bytes) -> bytes:
    """The target of a symbolic link. Raises OSError."""
    with near(link) as (folder, rest):
        return os.readlink(rest, dir_fd=folder)


@contextmanager
def named(path: bytes) -> Iterator[bytes]:
    """A path for Linux calls that accept no folder's descriptor. Raises OSError."""
    with near(path) as (folder, rest):
        yield rest if folder is None else b"/proc/self/fd/%d/%b" % (folder, rest)
