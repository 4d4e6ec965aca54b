"""The first inspection of a source: does it exist, on which file system, and how much is in it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

from backup import system
from backup.entry import shown
from backup.source import reach
from policy.detection import AUTO, EVERY, compared
from policy.sources import FileSystem, Source

MAX_NAMES = 100_000
"""No more names of a folder are counted: an inspection should take seconds."""

MOUNTS = Path("/proc/self/mountinfo")
DISKS = Path("/dev/disk/by-uuid")

_ESCAPE = re.compile(rb"\\([0-7]{3})")
_NAMED_BY_SOURCE = re.compile(r"nfs|cifs|smb|9p|virtiofs|ceph|lustre|gluster|afs|zfs|fuse\.")
"""Types of file systems whose source is an address or a name, and not a device."""


class Mount(NamedTuple):
    """A line of the kernel's table."""

    point: bytes
    kind: str
    source: str
    device: tuple[int, int]
    """Its major and minor number."""
    options: str
    """Those of the file system, in the kernel's form: ``rw,noserverino``."""
    root: bytes = b"/"
    """The folder of its file system that is mounted."""


class SourcePlace(NamedTuple):
    """Where a source lies, for whoever makes a snapshot of it."""

    path: bytes
    """Its real path."""
    mount: Mount | None
    """None: the system has no table of mounts."""
    below: tuple[bytes, ...]
    """Where other file systems are mounted below it."""
    subvolume: bytes | None
    """The root of its subvolume, on btrfs."""


def looked(sources: Sequence[str]) -> tuple[Source, ...]:
    """The facts of each source, as the host of the drive sees it. If it may hang, run it in another
    process."""
    return tuple(map(_look, sources))


def _look(source: str) -> Source:
    try:
        path = system.real(system.absolute(source))
        mode = reach.status(path).st_mode
        names = _first_level(path) if stat.S_ISDIR(mode) else None
    except OSError:
        return Source(source, is_there=False)
    # Afterwards: a file system that is mounted on access is there now.
    return Source(source, place=place_of(path), first_level=names)


def share_of(path: bytes) -> str | None:
    """Where the share is mounted that a path is on; None if it is on a local file system."""
    mount = innermost(path, _table())
    if mount is None or compared(AUTO, mount.kind) == EVERY:
        return None
    return shown(mount.point)


PROBES = 16


def latency(folder: bytes) -> float:
    """The seconds that a call on a name in a folder takes: the median of a few; 0 if there is none to try."""
    try:
        with reach.names(folder) as names:
            paths = [folder.rstrip(b"/") + b"/" + name for name in islice(names, PROBES)]
    except OSError:
        return 0.0
    return median([seconds for path in paths if (seconds := _seconds_of(path)) is not None] or [0.0])


def _seconds_of(path: bytes) -> float | None:
    try:
        mode = reach.status(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return None
        # Its status may have come with the listing; an open asks the server.
        started = perf_counter()
        os.close(reach.opened(path))
        return perf_counter() - started
    except OSError:
        return None


def _first_level(folder: bytes) -> int:
    with reach.names(folder) as names:
        return sum(1 for _ in islice(names, MAX_NAMES))


def whereabouts(source: str) -> SourcePlace:
    """Where a source lies. If it may hang, run it in another process. Raises OSError."""
    path = system.real(system.absolute(source))
    reach.status(path)
    table = _table()
    mount = innermost(path, table)
    above = path.rstrip(b"/") + b"/"
    below = {each.point for each in table if each.point.startswith(above) and each.point != path}
    subvolume = _subvolume(path, mount.point) if mount is not None and mount.kind == BTRFS else None
    return SourcePlace(path, mount, tuple(sorted(below)), subvolume)


BTRFS = "btrfs"
_SUBVOLUME = 256
"""The inode of the root of each subvolume (BTRFS_FIRST_FREE_OBJECTID in the kernel's btrfs_tree.h)."""


def _subvolume(path: bytes, point: bytes) -> bytes | None:
    """The root of the subvolume; None if it is not below the mount point."""
    while not is_subvolume(path):
        if path in (point, b"/"):
            return None
        path = path.rpartition(b"/")[0] or b"/"
    return path


def is_subvolume(path: bytes) -> bool:
    """Whether a path on btrfs is the root of a subvolume. Raises OSError."""
    status = os.lstat(path)
    return status.st_ino == _SUBVOLUME and stat.S_ISDIR(status.st_mode)


def mounted_at(folder: bytes) -> Mount | None:
    """What is mounted at this very folder."""
    return next((each for each in reversed(_table()) if each.point == folder), None)


def identity(folder: bytes) -> tuple[int, int]:
    """What stays the same of a folder as long as nothing else is mounted there. Raises OSError."""
    status = os.lstat(system.native(folder))
    return status.st_dev, status.st_ino


def place_of(path: bytes) -> FileSystem:
    """The file system of a real path, as far as the system reports it."""
    mount = innermost(path, _table())
    if mount is None:
        return FileSystem(mount_point=shown(_point_above(path)))
    return FileSystem(mount.kind, _identity(mount), shown(mount.point))


def _table() -> list[Mount]:
    """Nothing, if the system has no such table."""
    try:
        return mounts(MOUNTS.read_bytes())
    except OSError:
        return []


def innermost(path: bytes, candidates: Iterable[Mount]) -> Mount | None:
    """The mount of a path: the longest mount point above it, and the last of several at one point."""
    best = None
    for mount in candidates:
        above = mount.point.rstrip(b"/") + b"/"
        is_above = (path.rstrip(b"/") + b"/").startswith(above)
        if is_above and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def mounts(table: bytes) -> list[Mount]:
    """The kernel's table (``/proc/self/mountinfo``), in its order; lines of another form are skipped."""
    listed = []
    for line in table.splitlines():
        first, separator, rest = line.partition(b" - ")
        fields, more = first.split(b" "), rest.split(b" ")
        numbers = fields[2].split(b":") if separator and len(fields) >= 6 and len(more) >= 2 else []
        if len(numbers) == 2 and all(map(bytes.isdigit, numbers)):
            point, kind, source, root = map(_plain, (fields[4], more[0], more[1], fields[3]))
            device = int(numbers[0]), int(numbers[1])
            options = shown(b" ".join(more[2:]))
            listed.append(Mount(point, shown(kind), shown(source), device, options, root))
    return listed


def _plain(field: bytes) -> bytes:
    return _ESCAPE.sub(lambda code: bytes([int(code[1], 8)]), field)


def _identity(mount: Mount) -> str | None:
    """What identifies a file system also after a reboot; the name of its device may not."""
    if _NAMED_BY_SOURCE.match(mount.kind):
        return mount.source
    return _uuid(mount.source) if mount.source.startswith("/dev/") else None


def _uuid(device: str) -> str | None:
    with suppress(OSError):
        real = os.path.realpath(device, strict=True)
        for link in DISKS.iterdir():
            if os.path.realpath(link) == real:
                return link.name
    return None


def _point_above(path: bytes) -> bytes:
    """For a system without a table of mounts."""
    while not os.path.ismount(system.native(path)):
        above, _, _ = path.rpartition(b"/")
        if not above:
            return b"/"
        path = above
    return path
