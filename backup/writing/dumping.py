"""What a command prints, as a file of the set: read once, in parts of constant memory, of unknown size.

A short one is an ordinary member. A longer one is cut in pieces whose names count from 2: the piece of the
name 1 is empty, and is written last, when the command has ended well. So whoever joins pieces without this
program (README.txt on the tape) finds no first one of a dump that broke off, and joins nothing.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator
from time import perf_counter

from backup.entry import Entry, FileType, Part, digest_of_pieces, raw, text
from backup.errors import DumpBroken, DumpTooLong
from backup.format import tar
from backup.format.index import WITH_DUMPS
from backup.request import Dump, DumpStream, SetRequest
from backup.source import xattrs
from backup.source.dirlist import Status
from backup.source.scan import FoundPath
from backup.writing.archive import Archive
from backup.writing.pieces import name_of
from backup.writing.sealing import Sealing
from backup.writing.tally import Tally
from policy import units
from policy.message import M
from policy.paths import order
from policy.units import MIB
from tape.errors import TapeFull

PART = 64 * MIB
"""The most that is in memory of a dump, and the length of a piece."""
MODE = 0o600
"""Only its owner reads what is restored of it."""
NEARLY_EMPTY = 0.8
"""A tape with so much room, as a part of its capacity, has as much as any other."""


def among(found: Iterable[FoundPath], dumps: Iterable[Dump], after: str | None) -> Iterator[FoundPath]:
    """The files that a scan finds, and the dumps, in the order of the set, after the point of resuming. A
    file under the path of a dump does not count."""
    started = order(raw(after)) if after is not None else b""
    waiting = sorted((order(raw(dump.path)), raw(dump.path)) for dump in dumps)
    waiting = [each for each in waiting if after is None or each[0] > started][::-1]
    for each in found:
        while waiting and waiting[-1][0] < order(each.path):
            yield FoundPath(waiting.pop()[1], _unknown())
        if not waiting or waiting[-1][1] != each.path:
            yield each
    while waiting:
        yield FoundPath(waiting.pop()[1], _unknown())


def _unknown() -> Status:
    """Of a file that is as new as can be: an increment reads it anew each time."""
    now = time.time_ns()
    return Status(stat.S_IFREG | MODE, -1, now, now, 0, 0, 1, b"")


class Dumping:
    """Takes dumps into the archives of ``sealing``."""

    def __init__(self, request: SetRequest, sealing: Sealing, tally: Tally) -> None:
        self._set_id = request.set_id
        self._archive_bytes = request.archive_bytes
        self._sealing = sealing
        self._tally = tally
        self._dumps = {raw(dump.path): dump for dump in request.dumps}
        self._mine: Archive | None = None

    def wants(self, path: bytes) -> bool:
        """Whether a path of the plan is a dump."""
        return path in self._dumps

    def take(self, path: bytes) -> bool:
        """Run the command of a dump, and store what it prints; False: it may fail, and has.

        Raises DumpBroken, DumpTooLong, TapeFull, and what the dump's own functions and the journal raise.
        """
        dump = self._dumps[path]
        room = self._sealing.room.capacity() * NEARLY_EMPTY
        has_tape = self._sealing.archive is None and self._sealing.room.left() >= room
        before = self._tally.size
        whole = _entry(dump.path)
        try:
            with dump.open() as stream:
                return self._store(dump, whole, stream)
        except TapeFull as error:
            if not has_tape:
                raise
            raise DumpTooLong(
                M(
                    "The dump {path} does not fit on a tape of its own: {size} of it were read.",
                    path=dump.path,
                    size=units.size(self._tally.size - before),
                ),
                M("Cut it in several commands, or let its command compress, or use larger tapes."),
            ) from error
        except DumpBroken as error:
            if not dump.optional:
                raise
            if self._mine is None:
                # So that the catalogue names it.
                self._piece(whole, Part(1, 0, 0), 2, memoryview(b""))
            self._sealing.seal()
            self._tally.warn(path, M("This dump is not whole: {reason}", reason=error.message.to_json()))
            return False
        finally:
            self._mine = None

    def _store(self, dump: Dump, whole: Entry, stream: DumpStream) -> bool:
        buffer = memoryview(bytearray(min(PART, max(self._archive_bytes, 1))))
        pieces: list[Entry] = []
        size = 0
        while True:
            count, broken = self._filled(stream, buffer)
            is_last = broken is None and count < len(buffer)
            if is_last and not pieces:
                dump.judge(count)
                self._whole(whole._replace(size=count), buffer[:count])
                return True
            if count:
                part = Part(len(pieces) + 1, size, 0)
                pieces.append(self._piece(whole, part, len(pieces) + 2, buffer[:count]))
                size += count
            if broken is not None:
                raise broken
            if is_last:
                break
        dump.judge(size)
        # Only now there is a first piece, and so a file to join.
        part = Part(len(pieces) + 1, size, size)
        pieces.append(self._piece(whole, part, 1, buffer[:0]))
        assert self._sealing.archive
        self._sealing.archive.add_whole(
            whole._replace(
                size=size,
                blake3=digest_of_pieces([piece.blake3 or b"" for piece in pieces]),
                place=pieces[-1].place,
                pieces=len(pieces),
            )
        )
        self._sealing.seal()
        return True

    def _filled(self, stream: DumpStream, buffer: memoryview) -> tuple[int, DumpBroken | None]:
        """Read until the buffer is full or the output ends; how much that was, and why it broke off."""
        used = 0
        while used < len(buffer):
            started = perf_counter()
            try:
                count = stream.readinto(buffer[used:])
            except DumpBroken as error:
                return used, error
            self._sealing.phases.read += perf_counter() - started
            if not count:
                break
            used += count
            self._tally.read(count)
        return used, None

    def _whole(self, entry: Entry, data: memoryview) -> None:
        head = tar.header(entry, len(data))
        self._need(len(head), len(data))
        self._sealing.archive_for(len(head), len(data)).add_data(entry, head, data)

    def _piece(self, whole: Entry, part: Part, number: int, data: memoryview) -> Entry:
        """Store a piece. ``number``: that of its name."""
        entry = whole._replace(type=FileType.PIECE, size=len(data), part=part)
        # Another attempt has other names: none of its pieces is joined with those of this one.
        name = name_of(f"{self._set_id} {whole.mtime_ns}", whole.path, number)
        head = tar.header(entry, len(data), name)
        archive = self._sealing.archive
        if archive is None or archive is not self._mine or self._is_long(archive, len(head), len(data)):
            self._sealing.seal()
            self._need(len(head), len(data))
            archive = self._mine = self._sealing.begin(WITH_DUMPS)
        else:
            self._need(len(head), len(data))
        stored = archive.add_data(entry, head, data)
        self._sealing.end_frame_if_long()
        return stored

    def _is_long(self, archive: Archive, head: int, length: int) -> bool:
        return archive.length_with(head, length) > self._archive_bytes

    def _need(self, head: int, length: int) -> None:
        """Raises TapeFull if so much does not fit on the tape."""
        if not self._sealing.room.has(head + length + tar.padding(length), self._sealing.archive):
            if self._sealing.archive is not self._mine:
                self._sealing.seal()
            raise TapeFull(
                M("The tape is full: a dump does not fit any more."),
                M("Put in another tape: what was sealed stays readable."),
            )


def _entry(path: str) -> Entry:
    """The file that a dump becomes, as of its beginning."""
    now = time.time_ns()
    uid, gid = (os.getuid(), os.getgid()) if hasattr(os, "getuid") else (0, 0)
    return Entry(
        path=text(raw(path)),
        type=FileType.FILE,
        size=0,
        mtime_ns=now,
        ctime_ns=now,
        inode=0,
        nlink=1,
        mode=MODE,
        uid=uid,
        gid=gid,
        uname=xattrs.user_name(uid),
        gname=xattrs.group_name(gid),
    )
