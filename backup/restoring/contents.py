"""Read the data of members back from the archives of a volume, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Protocol, cast

import zstandard

from backup.entry import Place
from backup.format.age import Identities, decrypted
from backup.format.sealed import found_on
from backup.format.volume_file import open_to_read
from policy.message import M, Message
from tape.drive import Volume
from tape.errors import TapeReadError

BLOCK = 1 << 20


class DamagedMember(Exception):
    """The data of a member could not be read; those of others may be intact."""

    def __init__(self, reason: Message) -> None:
        super().__init__(reason)
        self.reason = reason


class _Stream(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


class _Window:
    """A file read in large blocks, of which the last one is kept: going back a little costs nothing."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._block = b""
        self._start = 0
        self._at = 0

    def seek(self, position: int) -> None:
        if not self._start <= position <= self._start + len(self._block):
            self._file.seek(position)
            self._start, self._block = position, b""
        self._at = position - self._start

    def read(self, size: int = -1) -> bytes:
        if self._at == len(self._block):
            self._next()
        part = self._block[self._at : self._at + size] if size >= 0 else self._block[self._at :]
        self._at += len(part)
        return part

    def _next(self) -> None:
        start, self._start = self._start + len(self._block), -1
        self._block, self._at = b"", 0  # after a failed read, no block is kept
        self._block = self._file.read(BLOCK)
        self._start = start

    def readinto(self, buffer: memoryview, /) -> int:
        part = self.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._file.close()


class Contents:
    """The data of the members of one set; cheapest when requested in tape order."""

    def __init__(self, volume: Volume, folder: str, keys: Identities = ()) -> None:
        self._volume = volume
        self._keys = keys
        self._folder = folder
        self._window: _Window | None = None
        self._archive = 0
        self._compressed = False
        self._stream: _Stream | None = None
        self._frame = -1
        self._position = 0
        self._broken: tuple[int, int, int] | None = None
        self._zstd = zstandard.ZstdDecompressor()
        self._buffer = memoryview(bytearray(BLOCK))

    def read(self, place: Place) -> Iterator[memoryview]:
        """The data, block by block; each block is valid until the next. Raises DamagedMember."""
        if not place.length:
            return
        if self._is_broken(place):
            raise DamagedMember(M("Its data on the tape are damaged."))
        try:
            self._go_to(place)
            left = place.length
            while left:
                count = self._fill(min(left, BLOCK))
                left -= count
                yield self._buffer[:count]
        except (zstandard.ZstdError, ValueError, EOFError) as error:
            self._mark()
            raise DamagedMember(M("Its data on the tape are damaged.")) from error
        except FileNotFoundError as error:
            raise DamagedMember(
                M("Its archive {number} is not on this tape.", number=place.archive)
            ) from error
        except (OSError, TapeReadError) as error:
            self._mark()
            raise DamagedMember(M("The tape could not be read where its data are.")) from error

    def close(self) -> None:
        if self._window is not None:
            self._window.close()
        self._window = self._stream = None

    def _go_to(self, place: Place) -> None:
        start = place.skip + place.head
        self._open(place.archive)
        if self._stream is None or self._frame != place.frame or self._position > start:
            self._open_frame(place.frame)
        while self._position < start:
            self._fill(min(start - self._position, BLOCK))

    def _open(self, archive: int) -> None:
        if self._window is not None and self._archive == archive:
            return
        self.close()
        name = found_on(self._volume, self._folder, archive)
        self._compressed = ".zst" in name
        self._window = _Window(decrypted(open_to_read(self._volume, name), name, self._keys))
        self._archive = archive

    def _open_frame(self, frame: int) -> None:
        assert self._window is not None
        self._window.seek(frame)
        self._stream = (
            self._zstd.stream_reader(cast("BinaryIO", self._window), read_across_frames=True)
            if self._compressed
            else self._window
        )
        self._frame, self._position = frame, 0

    def _fill(self, most: int) -> int:
        assert self._stream is not None
        count = self._stream.readinto(self._buffer[:most])
        if not count:
            raise EOFError
        self._position += count
        return count

    def _mark(self) -> None:
        """Record how far a frame can be read, so that later files in it fail at once."""
        if self._stream is not None:
            self._broken = (self._archive, self._frame, self._position)
        self._stream = None

    def _is_broken(self, place: Place) -> bool:
        end = place.skip + place.head + place.length
        return self._broken is not None and self._broken[:2] == place[:2] and end > self._broken[2]
