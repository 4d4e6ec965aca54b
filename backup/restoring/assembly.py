"""A file in pieces, joined in the target under a temporary name until the last piece is there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress

from blake3 import blake3

from backup.entry import Entry, digest_of_pieces
from backup.restoring import dirfd, metadata
from backup.restoring.checkpoint import Fate, Piece
from backup.restoring.contents import Contents, DamagedMember
from backup.restoring.target import EntryRefused, TargetFolders
from backup.restoring.write_file import receive_piece
from policy.message import M, Message

INCOMPLETE = M("Not all of its pieces are there, or not as they were backed up.")


def name_of(path: bytes) -> bytes:
    """The temporary name of a file in pieces, beside its real name."""
    return b".tapeline-" + blake3(path).hexdigest(length=8).encode()


def is_there(target: TargetFolders, piece: Piece) -> bool:
    """Whether what was counted of a piece is in the target now."""
    if piece.fate == Fate.DIFFERS:
        return True
    parts = tuple(piece.path.split(b"/"))
    places = [parts] if piece.fate == Fate.SAME else [parts, (*parts[:-1], name_of(piece.path))]
    statuses = [target.status(place) for place in places]
    return any(
        status and stat.S_ISREG(status.st_mode) and _has_size(status.st_size, piece) for status in statuses
    )


def _has_size(size: int, piece: Piece) -> bool:
    """Of a dump the first pieces do not know how long the whole is."""
    return size == piece.whole if piece.whole else size >= piece.offset + piece.size


def open_for(pieces: list[Piece], folder: dirfd.Folder, path: bytes) -> int:
    """Open the file that a piece goes into; the first piece creates it. Raises OSError."""
    name = name_of(path)
    if any(piece.fate == Fate.WRITTEN for piece in pieces):
        return dirfd.write(folder, name)
    with suppress(FileNotFoundError):
        dirfd.unlink(folder, name)
    return dirfd.create(folder, name)


def write(contents: Contents, entry: Entry, fd: int, look_up: Callable[[int], None]) -> None:
    """Write a piece, and close the file. Raises DamagedMember, EntryRefused, OSError."""
    assert entry.part
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise EntryRefused(M("Another file has the name under which its pieces are put together."))
        whole = entry.part.whole or max(status.st_size, entry.part.offset + entry.size)
        os.ftruncate(fd, whole)
        receive_piece(contents, entry, fd, look_up)
        dirfd.settle(fd)
    finally:
        os.close(fd)


def are_all(entry: Entry, pieces: list[Piece]) -> bool:
    """Whether these are all the pieces of a file, by their positions in it."""
    end = 0
    for piece in pieces:
        if piece.offset != end:
            break
        end += piece.size
    return end == entry.size and len(pieces) == entry.pieces


def check(entry: Entry, pieces: list[Piece]) -> None:
    """Check that these are all the pieces of a file, each as it was written. Raises DamagedMember."""
    if not are_all(entry, pieces) or digest_of_pieces([piece.blake3 for piece in pieces]) != entry.blake3:
        raise DamagedMember(INCOMPLETE)


def finish(entry: Entry, folder: dirfd.Folder, path: bytes, name: bytes) -> list[Message]:
    """Give a file its metadata and its real name; returns what is not as it was. Raises OSError."""
    fd = dirfd.write(folder, name_of(path))
    try:
        problems = metadata.apply_open(fd, entry)
        dirfd.settle(fd)
    finally:
        os.close(fd)
    dirfd.rename(folder, name_of(path), name)
    if entry.partial:
        problems.append(M("Its content is as far as it could be read: it changed or failed in the backup."))
    return problems


def drop(target: TargetFolders, path: bytes) -> None:
    """Remove the joined pieces of a file that will not be finished, if they are still there."""
    folders = tuple(path.split(b"/"))[:-1]
    if target.status((*folders, name_of(path))) is not None:
        with suppress(OSError):
            dirfd.unlink(target.folder(folders), name_of(path))
