"""What shows that a file has changed: which fields of its status an increment compares.

A local file system keeps the inode and the time of change (ctime) of an untouched file. A share may not: some
servers and most file systems in user space number their files anew at each mount, and a server that moves its
data to other disks changes every ctime. If these fields counted there, each file would be read again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar

from policy.paths import order

AUTO = "auto"
"""A template's word for: by the file system of each file."""

_SHARED = re.compile(
    r"nfs[234]?|cifs|smb[23]|smbfs|ncpfs|afs|9p|virtiofs|vboxsf|prl_fs|vmhgfs|(fuse|fuseblk)(\..*)?|aufs|unionfs"
)
"""Types of file systems, as the kernel names them, whose inode and ctime do not count."""


class ComparedFields(NamedTuple):
    """The fields of an untouched file that stay the same. Type, size and mtime always count."""

    ctime: bool = True
    inode: bool = True

    def __str__(self) -> str:
        """In the words of a template."""
        return "+".join(
            name
            for name, counts in (
                ("ctime", self.ctime),
                ("mtime", True),
                ("size", True),
                ("inode", self.inode),
            )
            if counts
        )

    def both(self, other: ComparedFields) -> ComparedFields:
        """What counts by both rules."""
        return ComparedFields(self.ctime and other.ctime, self.inode and other.inode)


EVERY = ComparedFields()
SHARED = ComparedFields(ctime=False, inode=False)

_NAMED = {
    str(each): each for each in (EVERY, ComparedFields(inode=False), ComparedFields(ctime=False), SHARED)
}
CHOICES = (AUTO, *_NAMED)
"""The values of ``detect``."""


def compared(detect: str, kind: str | None) -> ComparedFields:
    """The fields to compare on a file system. ``detect``: one of ``CHOICES``, else every field. ``kind``: its
    type, as the kernel names it; None if the system does not report it: as a local one."""
    if detect != AUTO:
        return named(detect)
    return SHARED if kind is not None and _SHARED.fullmatch(kind) else EVERY


T = TypeVar("T")


class OfPaths(Generic[T]):
    """A value for each of some paths and all below it; that of the nearest counts."""

    def __init__(self, values: Mapping[bytes, T]) -> None:
        self._values = {order(path): value for path, value in values.items()}

    def put(self, path: bytes, value: T) -> None:
        self._values[order(path)] = value

    def at(self, path: bytes) -> T | None:
        """None: no path above has one."""
        key = order(path)
        while key and key not in self._values:
            key = key.rpartition(b"\0")[0]
        return self._values.get(key)


def named(rule: str) -> ComparedFields:
    """The fields of a rule in the words of a template; of an unknown one every field: that costs time, and
    misses nothing."""
    return _NAMED.get(rule, EVERY)


class Followed:
    """The rules by which the sets that an increment follows were taken.

    Fields that did not count for one of them may be those of an earlier mount in the catalogue. They count
    again from the next full set on: only that stores the fields of every file anew.
    """

    def __init__(self, of_sets: Iterable[Mapping[str, str]]) -> None:
        """``of_sets``: of each set the rule at and below some paths, in the words of a template. A set that
        does not record one compared every field."""
        restricted = [each for each in of_sets if {*each.values()} - {str(EVERY)}]
        self._of_sets = [
            OfPaths({path.encode(): named(rule) for path, rule in each.items()}) for each in restricted
        ]

    def at(self, path: bytes) -> ComparedFields:
        """The fields that counted for all of the sets."""
        fields = EVERY
        for rules in self._of_sets:
            fields = fields.both(rules.at(path) or EVERY)
        return fields
