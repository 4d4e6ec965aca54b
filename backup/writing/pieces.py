"""A file that is too long for one archive, cut in pieces: ordinary members that ``cat`` joins."""

from __future__ import annotations

from collections.abc import Sequence

from blake3 import blake3

from backup.entry import Entry, FileType, Part, digest_of_pieces, raw
from backup.format import tar
from backup.request import Begun
from backup.source import holes
from backup.source.member import Member

MAX_NAME = 255
"""Bytes of a name, on every file system that is restored to."""


def next_piece(member: Member, number: int, offset: int, most: int) -> Member:
    """The piece that begins at an offset and has up to so many bytes of data."""
    whole = member.entry
    end, segments = holes.part(member.segments, offset, whole.size, most)
    part = Part(number, offset, whole.size)
    entry = whole._replace(type=FileType.PIECE, size=end - offset, sparse=False, part=part)
    if segments == [(offset, end - offset)]:
        return member._replace(entry=entry, sparse_map=b"", segments=segments, whole=whole)
    within = [(start - offset, length) for start, length in segments]
    entry = entry._replace(sparse=True)
    return member._replace(entry=entry, sparse_map=holes.to_map(within), segments=segments, whole=whole)


def head_of(piece: Member, set_id: str) -> bytes:
    """The headers of a piece."""
    assert piece.entry.part
    return tar.header(piece.entry, piece.length, name_of(set_id, piece.entry.path, piece.entry.part.number))


def name_of(set_id: str, path: str, number: int) -> bytes:
    """The name of a piece in the archive: beside the file itself, and different from any file of a source."""
    plain = raw(path).lstrip(b"/")
    tag = blake3(set_id.encode() + b"\0" + plain).hexdigest(length=4).encode()
    folder, slash, name = plain.rpartition(b"/")
    suffix = b".tapeline-%b-part-%06d" % (tag, number)
    return folder + slash + name[: MAX_NAME - len(suffix)] + suffix


def whole_of(member: Member, pieces: Sequence[Entry], begun: Begun | None) -> Entry:
    """The entry of the file, after its last piece."""
    before = begun.digests if begun else ()
    is_partial = bool(begun and begun.partial) or any(piece.partial for piece in pieces)
    return member.entry._replace(
        sparse=False,
        partial=is_partial,
        blake3=digest_of_pieces([*before, *(piece.blake3 or b"" for piece in pieces)]),
        place=pieces[-1].place,
        pieces=len(before) + len(pieces),
    )
