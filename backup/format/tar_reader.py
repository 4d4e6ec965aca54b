"""Reads the members of an archive from its own tar headers, for the case that its index is damaged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Protocol

from backup.entry import Entry, FileType, Part, Place, name_from_json, text
from backup.format.tar import BLOCK, PIECE, padding

_TYPES = {
    b"0": FileType.FILE,
    b"1": FileType.HARDLINK,
    b"2": FileType.SYMLINK,
    b"5": FileType.FOLDER,
    b"6": FileType.FIFO,
}
ReadRecords = dict[bytes, bytes]


class Stream(Protocol):
    """An archive as it was before it was compressed, read forwards."""

    def read(self, size: int, /) -> bytes: ...


class NoHeader(ValueError):
    """The data is not a header that this program writes."""


def members(stream: Stream, number: int, *, framed: bool) -> Iterator[Entry]:
    """The entries of an archive, without facts that only an index has: ctime, inode, hash, number of names.

    ``framed``: compressed, so that places count from the first frame. Raises NoHeader, and what the stream
    raises.
    """
    offset = 0
    while True:
        start, records = offset, ReadRecords()
        block = _read(stream, BLOCK)
        if block == bytes(BLOCK):
            return
        if block[156:157] == b"x":
            length = _octal(block[124:136])
            records = _records(_read(stream, length))
            _skip(stream, padding(length))
            offset += BLOCK + length + padding(length)
            block = _read(stream, BLOCK)
        head = offset + BLOCK - start
        length = int(records.get(b"size") or _octal(block[124:136]))
        frame, skip = (0, start) if framed else (start, 0)
        yield _entry(block, records, Place(number, frame, skip, start, head, length))
        _skip(stream, length + padding(length))
        offset = start + head + length + padding(length)


def _read(stream: Stream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = stream.read(size - len(data))
        if not part:
            raise NoHeader("it ends in the middle")
        data += part
    return data


def _skip(stream: Stream, size: int) -> None:
    while size:
        size -= len(_read(stream, min(size, 1 << 20)))


def _octal(field: bytes) -> int:
    return int(field.rstrip(b"\0 ") or b"0", 8)


def _records(body: bytes) -> ReadRecords:
    """``LENGTH KEY=VALUE\\n``, one after the other."""
    records = ReadRecords()
    while body:
        length, _, _ = body.partition(b" ")
        key, _, value = body[len(length) + 1 : int(length) - 1].partition(b"=")
        records[key] = value
        body = body[int(length) :]
    return records


def _entry(block: bytes, records: ReadRecords, place: Place) -> Entry:
    try:
        kind = _TYPES[block[156:157]]
    except KeyError as error:
        raise NoHeader("a type of member that is never written") from error
    comment = records.get(b"comment", b"")
    piece = json.loads(comment.removeprefix(PIECE)) if comment.startswith(PIECE) else None
    sparse = b"GNU.sparse.name" in records
    name = records.get(b"GNU.sparse.name") or records.get(b"path") or block[:100].rstrip(b"\0")
    link = records.get(b"linkpath") or block[157:257].rstrip(b"\0")
    size = int(records.get(b"GNU.sparse.realsize", place.length)) if kind is FileType.FILE else 0
    path = text(b"/" + name.rstrip(b"/")) if name.rstrip(b"/") != b"." else "/"
    return Entry(
        path=name_from_json(piece["path"]) if piece else path,
        type=FileType.PIECE if piece else kind,
        size=size,
        mtime_ns=_nanoseconds(records.get(b"mtime")) or _octal(block[136:148]) * 10**9,
        ctime_ns=0,
        inode=0,
        nlink=1,
        mode=_octal(block[100:108]),
        uid=int(records.get(b"uid") or _octal(block[108:116])),
        gid=int(records.get(b"gid") or _octal(block[116:124])),
        uname=text(records.get(b"uname") or block[265:297].rstrip(b"\0")),
        gname=text(records.get(b"gname") or block[297:329].rstrip(b"\0")),
        target=_target(kind, link),
        xattrs=tuple(_xattrs(records)),
        sparse=sparse,
        place=place,
        part=Part(*piece["part"]) if piece else None,
    )


def _target(kind: FileType, link: bytes) -> str | None:
    if kind is FileType.HARDLINK:
        return text(b"/" + link)
    return text(link) if kind is FileType.SYMLINK else None


def _nanoseconds(seconds: bytes | None) -> int:
    if seconds is None:
        return 0
    whole, _, rest = seconds.lstrip(b"-").partition(b".")
    value = int(whole) * 10**9 + int(rest.ljust(9, b"0"))
    return -value if seconds.startswith(b"-") else value


def _xattrs(records: ReadRecords) -> Iterator[tuple[str, bytes]]:
    prefix = b"SCHILY.xattr."
    for key, value in records.items():
        if key.startswith(prefix):
            yield text(key[len(prefix) :].replace(b"%3D", b"=").replace(b"%25", b"%")), value
