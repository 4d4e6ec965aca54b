"""One catalogued file, and its line in an index."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from enum import StrEnum
from json.encoder import encode_basestring as json_string
from operator import itemgetter
from typing import Any, NamedTuple

from blake3 import blake3


class FileType(StrEnum):
    """The type of a name in the source."""

    FILE = "file"
    FOLDER = "folder"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    """One more name of a file that was stored under another name of the same set."""
    FIFO = "fifo"
    PIECE = "piece"
    """A part of a file that is cut; the entry of the file itself follows that of its last piece."""
    DELETED = "deleted"
    """In an increment: its parent has the file, and the source no longer has it. Only the path is known."""


class Place(NamedTuple):
    """The position of a member; all numbers are bytes, except ``archive``."""

    archive: int
    frame: int
    """From the start of the archive's file to the frame that begins at or before the member."""
    skip: int
    """From the start of that frame, uncompressed, to the member."""
    offset: int
    """From the start of the whole uncompressed tar to the member."""
    head: int
    """The length of the member's headers; its data follow."""
    length: int
    """The length of its data in the archive, without padding."""


NOWHERE = Place(0, 0, 0, 0, 0, 0)


class Part(NamedTuple):
    """The position of a piece in its file."""

    number: int
    """Counted from 1."""
    offset: int
    """Where it begins in the file; its ``size`` is that of the piece."""
    whole: int
    """The size of the file; 0 for a piece of a dump, whose size was not known then."""


class Entry(NamedTuple):
    """One file of a set. Texts contain names of any bytes in Python's form (UTF-8 with
    ``surrogateescape``)."""

    path: str
    """Absolute."""
    type: FileType
    size: int
    """Of the content, holes included; 0 for what has none."""
    mtime_ns: int
    ctime_ns: int
    inode: int
    nlink: int
    mode: int
    """The twelve permission bits."""
    uid: int
    gid: int
    uname: str
    gname: str
    target: str | None = None
    """The target of a symbolic link, or the first name of a hard link."""
    xattrs: tuple[tuple[str, bytes], ...] = ()
    sparse: bool = False
    """The content has holes: the data are a GNU sparse 1.0 map and the parts between the holes."""
    partial: bool = False
    """The content is not one state of the file: it changed, shrank or failed while it was read."""
    blake3: bytes | None = None
    """Of the data as they are in the archive; None if there are none."""
    place: Place = NOWHERE
    """Where the content is; a hard link has the place of its first name, which may be in an earlier archive;
    a file in pieces has that of the last one."""
    part: Part | None = None
    """Of a piece."""
    pieces: int = 0
    """Of a file in pieces: how many. Its ``blake3`` is that of their hashes, concatenated."""


def deletion(path: str) -> Entry:
    """The entry of a deleted file."""
    return Entry(path, FileType.DELETED, 0, 0, 0, 0, 0, 0, 0, 0, "", "")


def raw(name: str) -> bytes:
    """The bytes of a name or path."""
    return name.encode("utf-8", "surrogateescape")


def text(name: bytes) -> str:
    """A name or path of any bytes as text; ``raw`` turns it back."""
    return name.decode("utf-8", "surrogateescape")


def shown(name: str | bytes) -> str:
    """A name as people read it, always valid UTF-8; bytes that are not are shown as ``\\xff``."""
    return (raw(name) if isinstance(name, str) else name).decode("utf-8", "backslashreplace")


def name_to_json(name: str) -> Any:
    """A name as a JSON value: a string, or ``{"b64": ...}`` if its bytes are not UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return {"b64": base64.b64encode(raw(name)).decode()}
    return name


def name_from_json(value: Any) -> str:
    """The name that ``name_to_json`` wrote. Raises ValueError."""
    if isinstance(value, str):
        if not value.isascii():
            value.encode()  # a lone surrogate is no name: it would be written as bytes
        return value
    if isinstance(value, dict):
        return text(base64.b64decode(value["b64"], validate=True))
    raise ValueError(value)


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def to_line(entry: Entry) -> bytes:
    """The entry as one line of JSON, without empty fields."""
    if entry.type is FileType.DELETED:
        return _encode({"path": name_to_json(entry.path), "type": entry.type}).encode() + b"\n"
    return line_head(entry) + line_tail(entry.place)


def line_head(entry: Entry) -> bytes:
    """The first part of the line, up to the place."""
    optional = _optional(entry)
    return (
        f'{{"path":{_name(entry.path)},"type":"{entry.type.value}","size":{entry.size},'
        f'"mtime_ns":{entry.mtime_ns},"ctime_ns":{entry.ctime_ns},"inode":{entry.inode},'
        f'"nlink":{entry.nlink},"mode":{entry.mode},"uid":{entry.uid},"gid":{entry.gid},'
        f'"uname":{_name(entry.uname)},"gname":{_name(entry.gname)},{optional}"place":'
    ).encode()


def line_tail(place: tuple[int, ...]) -> bytes:
    """The rest of the line: the numbers of the place."""
    return b"[%d,%d,%d,%d,%d,%d]}\n" % place


def _optional(entry: Entry) -> str:
    fields = "" if entry.target is None else f'"target":{_name(entry.target)},'
    if entry.xattrs:
        values = [[name_to_json(name), base64.b64encode(value).decode()] for name, value in entry.xattrs]
        fields += f'"xattrs":{_encode(values)},'
    if entry.sparse:
        fields += '"sparse":true,'
    if entry.partial:
        fields += '"partial":true,'
    if entry.part is not None:
        fields += f'"part":{_encode(entry.part)},'
    if entry.pieces:
        fields += f'"pieces":{entry.pieces},'
    if entry.blake3 is not None:
        fields += f'"blake3":"{entry.blake3.hex()}",'
    return fields


def _name(name: str) -> str:
    return json_string(name) if name.isascii() else _encode(name_to_json(name))


_TYPES = {kind.value: kind for kind in FileType}
_numbers = itemgetter("size", "mtime_ns", "ctime_ns", "inode", "nlink", "mode", "uid", "gid")


def from_json(fields: dict[str, Any]) -> Entry:
    """The entry of a line. Raises KeyError, TypeError, ValueError if it is not one."""
    kind = _TYPES[fields["type"]]
    if kind is FileType.DELETED:
        return deletion(name_from_json(fields["path"]))
    numbers = _numbers(fields)
    place = fields["place"]
    _check(numbers)
    _check(place)
    size, mtime_ns, ctime_ns, inode, nlink, mode, uid, gid = numbers
    if size < 0 or mode < 0 or min(place) < 0:
        raise ValueError(fields)
    get = fields.get
    digest = get("blake3")
    # By position: this runs for every file of every set that is loaded, imported or restored.
    return Entry(
        name_from_json(fields["path"]),
        kind,
        size,
        mtime_ns,
        ctime_ns,
        inode,
        nlink,
        mode & 0o7777,
        uid,
        gid,
        name_from_json(fields["uname"]),
        name_from_json(fields["gname"]),
        name_from_json(fields["target"]) if "target" in fields else None,
        _xattrs(fields["xattrs"]) if "xattrs" in fields else (),
        bool(get("sparse")),
        bool(get("partial")),
        None if digest is None else bytes.fromhex(digest),
        Place(*place),
        _part(fields["part"]) if kind is FileType.PIECE else None,
        int(get("pieces") or 0),
    )


def _part(numbers: Sequence[Any]) -> Part:
    _check(numbers)
    if min(numbers) < 0:
        raise ValueError(numbers)
    return Part(*numbers)


def _xattrs(pairs: Sequence[tuple[Any, str]]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name_from_json(name), base64.b64decode(value, validate=True)) for name, value in pairs)


def _check(numbers: Sequence[Any]) -> None:
    """Check that they are whole numbers, and not merely values that look like them. Raises TypeError."""
    for number in numbers:
        if type(number) is not int:
            raise TypeError(numbers)


def signed(inode: int) -> int:
    """An inode as a signed number of 64 bits, the largest that the catalogue can store."""
    return inode - (1 << 64) if inode >= 1 << 63 else inode


def unsigned(inode: int) -> int:
    """The inode that ``signed`` was given."""
    return inode + (1 << 64) if inode < 0 else inode


def digest_of_pieces(digests: Sequence[bytes]) -> bytes:
    """The hash of a file in pieces."""
    return blake3(b"".join(digests)).digest()
