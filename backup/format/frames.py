"""The stream of one archive: uncompressed bytes in, frames and one hash out, to the tape."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from time import perf_counter

import zstandard

from backup.phases import Phases
from policy.units import MIB
from tape.drive import TapeFile

BLOCK = MIB
_ZEROS = bytes(65536)


def compressor(level: int) -> zstandard.ZstdCompressor:
    """One compressor for all frames of a set; it spreads a frame of a few MiB over the cores."""
    cores = min(os.cpu_count() or 1, 8)
    return zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters.from_level(
            level,
            threads=cores if cores > 1 else 0,
            job_size=MIB if cores > 1 else 0,
            write_checksum=True,
            write_content_size=False,
        )
    )


class FrameWriter:
    """Fill ``space()``, report how much with ``filled()``; a full block goes on to the file.

    ``take``: returns a new block of ``BLOCK`` bytes, for a file that keeps the blocks that it is given.
    """

    def __init__(
        self,
        file: TapeFile,
        zstd: zstandard.ZstdCompressor | None,
        phases: Phases,
        take: Callable[[], memoryview] | None = None,
    ) -> None:
        self._file = file
        self._take = take if zstd is None else None
        self._zstd = zstd
        self._phases = phases
        self._frame: zstandard.ZstdCompressionObj | None = None
        self._block = take() if take else memoryview(bytearray(BLOCK))
        self._used = 0
        self._sha256 = hashlib.sha256()
        self.offset = 0
        """Uncompressed bytes so far."""
        self.bytes = 0
        """Bytes of the file so far: exact between frames."""
        self._frame_at = 0
        self._frame_offset = 0

    @property
    def frame_length(self) -> int:
        """Uncompressed bytes in the current frame."""
        return self.offset - self._frame_offset

    @property
    def held(self) -> int:
        """The most that the file may still get of what was written here."""
        return self.frame_length if self._zstd else self._used

    def position(self, ahead: int = 0) -> tuple[int, int, int]:
        """The place of a member that begins after ``ahead`` more bytes of this frame: frame, skip, offset;
        without compression it is its own frame."""
        offset = self.offset + ahead
        if self._zstd is None:
            return offset, 0, offset
        return self._frame_at, self.frame_length + ahead, offset

    def space(self) -> memoryview:
        """Free space to read into; never empty."""
        if self._used == BLOCK:
            self._flush()
        return self._block[self._used :]

    def filled(self, count: int) -> None:
        """Take the first bytes of the space from ``space()``."""
        self._used += count
        self.offset += count

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes from memory."""
        rest = memoryview(data)
        while rest:
            space = self.space()
            count = min(len(space), len(rest))
            space[:count] = rest[:count]
            self.filled(count)
            rest = rest[count:]

    def zeros(self, count: int) -> None:
        """Add zeros."""
        while count:
            part = min(count, len(_ZEROS))
            self.write(_ZEROS[:part])
            count -= part

    def end_frame(self) -> None:
        """End the frame; the next byte begins another one."""
        self._flush()
        if self._frame is not None:
            started = perf_counter()
            rest = self._frame.flush()
            self._phases.compress += perf_counter() - started
            self._frame = None
            self._put(rest)
        self._frame_at, self._frame_offset = self.bytes, self.offset

    def hexdigest(self) -> str:
        """The SHA-256 of the file so far."""
        return self._sha256.hexdigest()

    def _flush(self) -> None:
        data = self._block[: self._used]
        if not data:
            return
        self._used = 0
        self._put(self._compressed(data) if self._zstd else data)
        if self._take:
            self._block = self._take()

    def _compressed(self, data: memoryview) -> bytes:
        assert self._zstd is not None
        started = perf_counter()
        if self._frame is None:
            self._frame = self._zstd.compressobj()
        packed = self._frame.compress(data)
        self._phases.compress += perf_counter() - started
        return packed

    def _put(self, data: bytes | memoryview) -> None:
        if data:
            started = perf_counter()
            self._sha256.update(data)
            self._phases.hash += perf_counter() - started
            self._file.write(data)
            self.bytes += len(data)
