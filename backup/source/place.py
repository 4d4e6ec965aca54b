"""What a first look at a source tells of it: is it there, on which file system, and how much is in it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from backup import system
from backup.entry import shown
from backup.source import reach
from policy.sources import Place, Source

MOST_NAMES = 100_000
"""More names of a folder are not counted: a look takes seconds."""

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


def looked(sources: Sequence[str]) -> tuple[Source, ...]:
    """What is seen of each source, as the host of the drive sees it. Whoever may hang asks it aside."""
    return tuple(map(_look, sources))


def _look(source: str) -> Source:
    try:
        path = system.real(system.absolute(source))
        mode = reach.status(path).st_mode
        names = _first_level(path) if stat.S_ISDIR(mode) else None
    except OSError:
        return Source(source, is_there=False)
    # After the look: a file system that is mounted when it is asked for is there now.
    return Source(source, place=place_of(path), first_level=names)


def _first_level(folder: bytes) -> int:
    with reach.names(folder) as names:
        return sum(1 for _ in islice(names, MOST_NAMES))


def place_of(path: bytes) -> Place:
    """The file system that a real path lies on, as far as the system says."""
    mount = _mount_of(path)
    if mount is None:
        return Place(mount_point=shown(_point_above(path)))
    return Place(mount.kind, _identity(mount), shown(mount.point))


def _mount_of(path: bytes) -> Mount | None:
    try:
        table = MOUNTS.read_bytes()
    except OSError:
        return None
    return innermost(path, mounts(table))


def innermost(path: bytes, found: Iterable[Mount]) -> Mount | None:
    """The mount that a path lies on: the longest point above it, of several at one point the last."""
    best = None
    for mount in found:
        above = mount.point.rstrip(b"/") + b"/"
        is_above = (path.rstrip(b"/") + b"/").startswith(above)
        if is_above and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def mounts(table: bytes) -> list[Mount]:
    """The kernel's table (``/proc/self/mountinfo``), in its order; a line of another form is passed over."""
    found = []
    for line in table.splitlines():
        first, separator, rest = line.partition(b" - ")
        fields, more = first.split(b" "), rest.split(b" ")
        if separator and len(fields) >= 6 and len(more) >= 2:
            point, kind, source = map(_plain, (fields[4], more[0], more[1]))
            found.append(Mount(point, shown(kind), shown(source)))
    return found


def _plain(field: bytes) -> bytes:
    return _ESCAPE.sub(lambda code: bytes([int(code[1], 8)]), field)


def _identity(mount: Mount) -> str | None:
    """What tells a file system after a new start as well, as the name of its device may not."""
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
    """Where the system has no table of mounts."""
    while not os.path.ismount(system.native(path)):
        above, _, _ = path.rpartition(b"/")
        if not above:
            return b"/"
        path = above
    return path
