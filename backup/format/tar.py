"""The headers of tar members: POSIX pax, as plain ``tar`` reads them."""

from __future__ import annotations

import functools
import json
import struct
import zlib

from backup.entry import Entry, FileType, name_to_json, raw

BLOCK = 512
END = bytes(2 * BLOCK)
"""The end of an archive."""

_REST = struct.Struct("1s100s6s2s32s32s8s8s155s12x")
_TYPES = {
    FileType.FILE: b"0",
    FileType.PIECE: b"0",
    FileType.HARDLINK: b"1",
    FileType.SYMLINK: b"2",
    FileType.FOLDER: b"5",
    FileType.FIFO: b"6",
}

WrittenRecords = list[tuple[bytes, bytes]]


def padding(length: int) -> int:
    """The padding that fills data of this length up to whole blocks."""
    return -length % BLOCK


def member_name(entry: Entry) -> bytes:
    """The absolute path without its leading ``/``; a folder ends with ``/``."""
    name = raw(entry.path).lstrip(b"/") or b"."
    return name + b"/" if entry.type is FileType.FOLDER else name


def header(entry: Entry, length: int, name: bytes | None = None) -> bytes:
    """The headers of a member with ``length`` bytes of data; with a ``name`` that is not its path."""
    name = name or member_name(entry)
    records: WrittenRecords = []
    if entry.part is not None:
        records.append((b"comment", PIECE + _piece(entry)))
    if entry.sparse and entry.type in (FileType.FILE, FileType.PIECE):
        records += _sparse(entry, name)
    else:
        _name(records, b"path", name, 100)
    link = _link(entry)
    _name(records, b"linkpath", link, 100)
    records += _owner(entry.uname, entry.gname)
    numbers = _numbers(records, entry, length)
    if entry.xattrs:
        records += [(b"SCHILY.xattr." + _keyword(raw(key)), value) for key, value in entry.xattrs]
    main = _block(
        _TYPES[entry.type],
        name,
        mode=entry.mode,
        numbers=numbers,
        link=link,
        uname=entry.uname,
        gname=entry.gname,
    )
    return _extended(records, name) + main if records else main


PIECE = b"Tapeline piece "
"""The beginning of a piece's comment; ``tar`` ignores comments."""


def _piece(entry: Entry) -> bytes:
    """Which file a piece belongs to, and which part of it: so a lost index does no harm."""
    return json.dumps({"path": name_to_json(entry.path), "part": entry.part}, ensure_ascii=False).encode()


def _sparse(entry: Entry, name: bytes) -> WrittenRecords:
    return [
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", name),
        (b"GNU.sparse.realsize", b"%d" % entry.size),
    ]


def _link(entry: Entry) -> bytes:
    if entry.type is FileType.HARDLINK:
        return raw(entry.target or "").lstrip(b"/")
    return raw(entry.target) if entry.target is not None else b""


def _name(records: WrittenRecords, key: bytes, value: bytes, room: int) -> None:
    """A text that is long or not plain ASCII goes into a record."""
    if len(value) > room or not value.isascii():
        records.append((key, value))


@functools.lru_cache(maxsize=1024)
def _owner(uname: str, gname: str) -> WrittenRecords:
    """The names of owners that no fixed field can hold; few owners own all files."""
    records: WrittenRecords = []
    _name(records, b"uname", raw(uname), 31)
    _name(records, b"gname", raw(gname), 31)
    return records


def _numbers(records: WrittenRecords, entry: Entry, length: int) -> tuple[int, int, int, int]:
    """uid, gid, size and mtime as the fixed fields can store them; records for those that they cannot."""
    uid = _fitting(records, b"uid", entry.uid, 0o7777777)
    gid = _fitting(records, b"gid", entry.gid, 0o7777777)
    size = _fitting(records, b"size", length, 0o77777777777)
    seconds, rest = divmod(entry.mtime_ns, 1_000_000_000)
    if rest or not 0 <= seconds <= 0o77777777777:
        records.append((b"mtime", decimal_seconds(entry.mtime_ns)))
        seconds = min(max(seconds, 0), 0o77777777777)
    return uid, gid, size, seconds


def _fitting(records: WrittenRecords, key: bytes, value: int, most: int) -> int:
    if 0 <= value <= most:
        return value
    records.append((key, b"%d" % value))
    return 0


def decimal_seconds(nanoseconds: int) -> bytes:
    """Seconds with all nine decimals, exactly."""
    seconds, rest = divmod(abs(nanoseconds), 1_000_000_000)
    return b"%s%d.%09d" % (b"-" if nanoseconds < 0 else b"", seconds, rest)


def _keyword(name: bytes) -> bytes:
    """GNU tar's way to keep ``=`` out of the name of a record."""
    return name.replace(b"%", b"%25").replace(b"=", b"%3D")


def _extended(records: WrittenRecords, name: bytes) -> bytes:
    body = b"".join(_record(key, value) for key, value in records)
    title = b"PaxHeaders/" + name.rstrip(b"/").rpartition(b"/")[2]
    head = _block(b"x", title, mode=0o644, numbers=(0, 0, len(body), 0), link=b"", uname="", gname="")
    return head + body + bytes(padding(len(body)))


def _record(key: bytes, value: bytes) -> bytes:
    """``LENGTH KEY=VALUE\\n``, where the length counts its own digits."""
    bare = len(key) + len(value) + 3
    length = bare + len(str(bare))
    if len(str(length)) > len(str(bare)):
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


def _block(
    kind: bytes,
    name: bytes,
    *,
    mode: int,
    numbers: tuple[int, int, int, int],
    link: bytes,
    uname: str,
    gname: str,
) -> bytes:
    uid, gid, size, mtime = numbers
    before, rest, total = _constant(kind, mode, link, (uid, gid, uname, gname))
    name = name[:100]
    moving = b"%011o\0%011o\0" % (size, mtime)
    total += _sum(name) + _sum(moving)
    return b"".join((name.ljust(100, b"\0"), before, moving, b"%06o\0 " % total, rest))


def _sum(data: bytes) -> int:
    """The sum of up to 256 bytes: the lower half of their Adler-32 is one more (RFC 1950)."""
    return (zlib.adler32(data) & 0xFFFF) - 1


@functools.lru_cache(maxsize=1024)
def _constant(
    kind: bytes, mode: int, link: bytes, owner: tuple[int, int, str, str]
) -> tuple[bytes, bytes, int]:
    """The parts that many members have in common: the fields before and after the varying ones, and their
    sum, with the checksum's own field as spaces."""
    uid, gid, uname, gname = owner
    before = b"%07o\0%07o\0%07o\0" % (mode, uid, gid)
    rest = _REST.pack(
        kind, link[:100], b"ustar", b"00", raw(uname)[:31], raw(gname)[:31], b"0000000", b"0000000", b""
    )
    return before, rest, sum(before) + sum(rest) + 8 * ord(" ")
