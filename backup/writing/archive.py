"""One unfinished archive: its tar on the volume and its index in the spool, in one pass over the data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import zstandard
from blake3 import blake3

from backup.entry import Entry, FileType, Place, line_tail
from backup.errors import SpoolFailed
from backup.format import index, sealed, tar
from backup.format.age import EncryptedFile
from backup.format.frames import FrameWriter
from backup.format.volume_file import close_after
from backup.phases import Phases
from backup.records import ArchiveRecord
from backup.source.member import Member
from backup.source.pack import Pack, length_of
from backup.writing.buffer import Buffer, BufferedFile
from policy.message import M, Message
from tape.drive import Volume
from tape.programs.aside import Eyes, Reading

Read = Callable[[int], None]
"""Called after each block with the number of bytes read; may raise to end the writing."""


class Archive:
    """Add members, then finish it; if it is abandoned, it does not count."""

    def __init__(
        self,
        volume: Volume,
        *,
        folder: str,
        number: int,
        spool: Path,
        zstd: zstandard.ZstdCompressor | None,
        keys: list[Any],
        buffer: Buffer,
        phases: Phases,
        eyes: Eyes,
        at_once: int = 1,
        version: int = index.VERSION,
    ) -> None:
        """``at_once``: of a file on a share, so many pieces are read. ``version``: of its index, which the
        kind of its members decides."""
        self.number = number
        self._eyes = eyes
        self._at_once = at_once
        self.name = sealed.name_of(number, compressed=zstd is not None, encrypted=bool(keys))
        self.files = 0
        self.deleted = 0
        self.pieces = 0
        self.size = 0
        self._phases = phases
        set_id = folder.rpartition("/")[2]
        self.index = index.IndexWriter(spool / index.name_of(number), set_id, number, version)
        try:
            self._buffered = BufferedFile(volume.create(f"{folder}/{self.name}"), buffer, phases)
        except BaseException:
            self.index.close()
            raise
        self._file = EncryptedFile(self._buffered, keys) if keys else self._buffered
        self._out = FrameWriter(self._file, zstd, phases, take=None if keys else buffer.take)

    @property
    def frame_length(self) -> int:
        """Uncompressed bytes in the current frame."""
        return self._out.frame_length

    @property
    def length(self) -> int:
        """Uncompressed bytes of the tar so far."""
        return self._out.offset

    @property
    def on_the_way(self) -> int:
        """The most that the volume may still get of what was added."""
        return self._out.held + self._buffered.held

    @property
    def beside(self) -> int:
        """The most that its end and its index will take."""
        return self.index.length + len(tar.END)

    def length_with(self, head: int, length: int) -> int:
        """How long the uncompressed tar would be with one more member."""
        return self._out.offset + head + length + tar.padding(length) + len(tar.END)

    def add(
        self, member: Member, head: bytes, read: Read, *, counts: bool = True
    ) -> tuple[Entry, Message | None]:
        """Write a member with its content; returns its entry, and why it is partial if it is.

        ``counts``: its size was not counted under another name of the same file.
        """
        place = Place(self.number, *self._out.position(), len(head), member.length)
        self._out.write(head)
        entry = member.entry._replace(place=place)
        problem = None
        if member.fd is not None:
            digest, problem = self._content(member, member.fd, read)
            entry = entry._replace(blake3=digest, partial=problem is not None)
        self._enter(entry, counts=counts)
        return entry, problem

    def add_data(self, entry: Entry, head: bytes, data: memoryview) -> Entry:
        """Write a member whose content is in memory; returns its entry."""
        place = Place(self.number, *self._out.position(), len(head), len(data))
        self._out.write(head)
        self._out.write(data)
        self._out.zeros(tar.padding(len(data)))
        entry = entry._replace(place=place, blake3=blake3(data).digest())
        self._enter(entry)
        return entry

    def add_whole(self, entry: Entry) -> None:
        """Record that a file is whole with its last piece, which was added before."""
        self.index.add(entry)
        self.files += 1

    def add_pack(self, pack: Pack) -> int:
        """Write files that were packed before; returns the bytes of their content."""
        data, files = pack
        at = size = 0
        for packed in files:
            assert packed is not None
            head, length, line = packed
            self.index.add_line(line + line_tail((self.number, *self._out.position(at), head, length)))
            at += length_of(packed)
            size += length
        self._out.write(data)
        self.files += len(files)
        self.size += size
        return size

    def add_link(self, entry: Entry, head: bytes) -> None:
        """Write one more name of a file that is stored already; it has the place of its first name."""
        self._out.write(head)
        self._enter(entry)

    def add_deletion(self, entry: Entry) -> None:
        """Record that a file of the parent was deleted: a tar cannot express that, so only the index has
        it."""
        self.index.add(entry)
        self.deleted += 1

    def end_frame(self) -> None:
        self._out.end_frame()

    def finish(self, follows: int | None) -> ArchiveRecord:
        """End the tar and the index. Raises TapeFull, TapeWriteError."""
        self._out.write(tar.END)
        self._out.end_frame()
        self._file.close()
        # If it is encrypted, the file on the volume counts, not its input.
        written = self._file if isinstance(self._file, EncryptedFile) else self._out
        record = ArchiveRecord(
            number=self.number,
            name=self.name,
            bytes=written.bytes,
            sha256=written.hexdigest(),
            files=self.files,
            deleted=self.deleted,
            size=self.size,
            follows=follows,
            pieces=self.pieces,
        )
        self.index.finish(record)
        return record

    def abandon(self, error: BaseException) -> None:
        """Close what is open, because of ``error``."""
        self._buffered.drop()
        close_after(self._file, error)
        try:
            self.index.close()
        except SpoolFailed as second:
            error.add_note(f"Then, on closing the index: {second}")

    def _enter(self, entry: Entry, *, counts: bool = True) -> None:
        self.index.add(entry)
        if entry.type is FileType.PIECE:
            self.pieces += 1
        else:
            self.files += 1
        if counts and entry.type in (FileType.FILE, FileType.PIECE):
            self.size += entry.size

    def _content(self, member: Member, fd: int, read: Read) -> tuple[bytes, Message | None]:
        """Copy the content; unreadable parts become zeros, so that the tar stays whole."""
        hasher = blake3()
        if member.sparse_map:
            hasher.update(member.sparse_map)
            self._out.write(member.sparse_map)
        problem = None
        about, at_once = member.entry.path, self._at_once if member.is_on_share else 1
        for offset, length in member.segments:
            source = self._eyes.reading(fd, offset, length, about, at_once=at_once)
            missing, reason = self._copy(source, length, hasher, read)
            if missing:
                self._pad(missing, hasher, read)
                problem = problem or reason
        self._out.zeros(tar.padding(member.length))
        return hasher.digest(), problem or self._eyes.ask(_changed, fd, member, about=about)

    def _copy(self, source: Reading, left: int, hasher: blake3, read: Read) -> tuple[int, Message | None]:
        """Read a part of a file into the stream; returns how many bytes are missing at its end, and why."""
        out, phases = self._out, self._phases
        while left:
            space = out.space()[:left]
            started = perf_counter()
            try:
                count = source.into(space)
            except OSError as error:
                return left, M("A read error, the rest is zeros: {reason}.", reason=error.strerror)
            if not count:
                return left, M("It shrank while it was read; the rest is zeros.")
            has_read = perf_counter()
            hasher.update(space[:count])
            phases.read += has_read - started
            phases.hash += perf_counter() - has_read
            out.filled(count)
            left -= count
            read(count)
        return 0, None

    def _pad(self, missing: int, hasher: blake3, read: Read) -> None:
        zeros = bytes(65536)
        while missing:
            part = zeros[:missing]
            hasher.update(part)
            self._out.write(part)
            missing -= len(part)
            read(len(part))


def _changed(fd: int, member: Member) -> Message | None:
    try:
        now = os.fstat(fd)
    except OSError as error:
        return M("Whether it changed while it was read is not known: {reason}.", reason=error.strerror)
    if now.st_size > member.reported:
        return M("It grew while it was read; it is stored up to the size that it had before.")
    if (now.st_size, now.st_mtime_ns) != (member.reported, member.entry.mtime_ns):
        return M("It changed while it was read.")
    return None
