"""Compare a source with its restored copy, byte for byte and fact for fact."""

from __future__ import annotations

import os
import stat
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from backup import system
from backup.entry import shown
from backup.restoring import metadata
from backup.source import holes, reach, xattrs

BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact of one file that differs."""

    path: str
    """From the roots of both, for people; "." is the root itself."""
    what: str
    """``missing``, ``extra``, ``type``, ``content``, ``size``, ``mode``, ``owner``, ``mtime``, ``target``,
    ``links``, ``xattrs`` or ``holes``."""
    expected: str
    found: str


def compare_trees(source: Path, restored: Path, *, left_out: Collection[str] = ()) -> list[Difference]:
    """All differences between ``restored`` and ``source``, sorted by path; both are folders, or both files.

    Compares content, type, mode, owner, mtime to the nanosecond or as near as the file system can store it,
    link targets, groups of hard links, extended attributes, holes. Owners, and attributes outside ``user.``,
    count only if this process may set them. Sockets and devices are skipped, and so are the paths
    ``left_out`` (from the roots, as people read them) with everything below them. Raises OSError if one of
    the two cannot be read.
    """
    names = frozenset(left_out)
    here, there = _tree(_path(source), names), _tree(_path(restored), names)
    differences = [_only(path, "missing") for path in here.keys() - there.keys()]
    differences += [_only(path, "extra") for path in there.keys() - here.keys()]
    for path in here.keys() & there.keys():
        differences += _differences(
            path, (_join(source, path), here[path]), (_join(restored, path), there[path])
        )
    differences += _link_differences(here, there)
    return sorted(differences, key=lambda difference: (difference.path, difference.what))


Side = tuple[bytes, os.stat_result]


def _only(path: bytes, what: str) -> Difference:
    return Difference(shown(path), what, *(("there", "not there") if what == "missing" else ("", "there")))


def _join(root: Path, path: bytes) -> bytes:
    return _path(root) if path == b"." else _path(root) + b"/" + path


def _path(root: Path) -> bytes:
    return system.absolute(os.fspath(root.absolute()))


def _tree(root: bytes, left_out: frozenset[str]) -> dict[bytes, os.stat_result]:
    status = reach.status(root)
    tree = {b".": status}
    if stat.S_ISDIR(status.st_mode):
        tree.update(_below(root, left_out))
    return tree


def _below(root: bytes, left_out: frozenset[str]) -> Iterator[tuple[bytes, os.stat_result]]:
    folders = [b""]
    while folders:
        prefix = folders.pop()
        with reach.names(root + b"/" + prefix) as names:
            for path in (prefix + name for name in names):
                if shown(path) in left_out:
                    continue
                status = reach.status(root + b"/" + path)
                if stat.S_ISDIR(status.st_mode):
                    folders.append(path + b"/")
                if not _has_no_place(status.st_mode):
                    yield path, status


def _has_no_place(mode: int) -> bool:
    return stat.S_ISSOCK(mode) or stat.S_ISBLK(mode) or stat.S_ISCHR(mode)


def _differences(path: bytes, expected: Side, actual: Side) -> Iterator[Difference]:
    kinds = stat.S_IFMT(expected[1].st_mode), stat.S_IFMT(actual[1].st_mode)
    if kinds[0] != kinds[1]:
        yield Difference(shown(path), "type", oct(kinds[0]), oct(kinds[1]))
        return
    facts, others = _facts(*expected), _facts(*actual)
    if facts["mtime"] != others["mtime"]:
        facts["mtime"] = str(_as_held(os.path.dirname(actual[0]), expected[1].st_mtime_ns))  # noqa: PTH120 - bytes
    yield from _told(path, facts, others)
    if stat.S_ISREG(kinds[0]) and expected[1].st_size == actual[1].st_size:
        at = _first_difference(expected[0], actual[0])
        if at is not None:
            yield Difference(shown(path), "content", "the same bytes", f"another byte after {at}")


def _as_held(folder: bytes, mtime_ns: int) -> int:
    """A time as the file system of a folder stores it: the nearest one that it can represent."""
    with suppress(OSError, OverflowError), tempfile.TemporaryFile(dir=system.native(folder)) as file:
        os.utime(file.fileno(), ns=(mtime_ns, mtime_ns))
        return os.fstat(file.fileno()).st_mtime_ns
    return mtime_ns


def _told(path: bytes, expected: dict[str, str], actual: dict[str, str]) -> Iterator[Difference]:
    for what, value in expected.items():
        if actual[what] != value:
            yield Difference(shown(path), what, value, actual[what])


def _facts(path: bytes, status: os.stat_result) -> dict[str, str]:
    facts = {"mtime": str(status.st_mtime_ns), "xattrs": _xattrs(path)}
    if metadata.may_own():
        facts["owner"] = f"{status.st_uid}:{status.st_gid}"
    if stat.S_ISLNK(status.st_mode):
        facts["target"] = shown(reach.target(path))
        return facts
    facts["mode"] = oct(stat.S_IMODE(status.st_mode))
    if stat.S_ISREG(status.st_mode):
        facts["size"] = str(status.st_size)
        facts["holes"] = _holes(path, status)
    return facts


def _xattrs(path: bytes) -> str:
    with reach.named(path) as name:
        return str([pair for pair in xattrs.read(name) if metadata.may_set(pair[0])])


def _holes(path: bytes, status: os.stat_result) -> str:
    if status.st_blocks * 512 >= status.st_size:
        return "none"
    fd = reach.opened(path)
    try:
        return "none" if holes.find(fd, status.st_size) is None else "some"
    finally:
        os.close(fd)


def _first_difference(expected: bytes, actual: bytes) -> int | None:
    """How many bytes of two files of the same size are known to be the same; None: all."""
    at = 0
    with open(reach.opened(expected), "rb") as one, open(reach.opened(actual), "rb") as other:  # noqa: PTH123 - by descriptor
        while block := one.read(BLOCK):
            if block != other.read(len(block)):
                return at
            at += len(block)
    return None


def _link_differences(
    here: dict[bytes, os.stat_result], there: dict[bytes, os.stat_result]
) -> Iterator[Difference]:
    expected, actual = _groups(here), _groups(there)
    for path in (expected.keys() | actual.keys()) & here.keys() & there.keys():
        one, other = expected.get(path, "alone"), actual.get(path, "alone")
        if one != other:
            yield Difference(shown(path), "links", one, other)


def _groups(tree: dict[bytes, os.stat_result]) -> dict[bytes, str]:
    """For each path that shares its inode with others of the tree: all of them."""
    groups = defaultdict(list)
    for path, status in tree.items():
        if status.st_nlink > 1 and stat.S_ISREG(status.st_mode):
            groups[status.st_dev, status.st_ino].append(path)
    several = [sorted(group) for group in groups.values() if len(group) > 1]
    return {path: shown(b", ".join(group)) for group in several for path in group}
