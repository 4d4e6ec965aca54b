"""The holes of a sparse file, and the GNU sparse 1.0 map that stores them in a tar."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

BLOCK = 512

Segments = list[tuple[int, int]]
"""(offset, length) of the parts with data, in order; the last is (size, 0) where a hole ends the file."""

MAX = 65536
"""A map with more parts gives up its smallest holes, so that its length stays bounded."""


def find(fd: int, size: int, most: int = MAX) -> Segments | None:
    """The parts of an open file with data, or None if its file system reports no holes."""
    segments: Segments = []
    least, position = 1, 0
    while (part := _next_data(fd, position, size)) is not None:
        position = part[0] + part[1]
        _append(segments, part, least)
        while len(segments) >= most:
            least *= 2
            segments = _merged(segments, least)
    if segments == [(0, size)]:
        return None
    if position < size or not segments:
        segments.append((size, 0))
    return segments


def data_between(fd: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The parts (offset, length) of a part of an open file with data."""
    while (part := _next_data(fd, start, end)) is not None:
        yield part
        start = part[0] + part[1]


def _next_data(fd: int, position: int, size: int) -> tuple[int, int] | None:
    if position >= size:
        return None
    try:
        start = os.lseek(fd, position, os.SEEK_DATA)
        end = min(size, os.lseek(fd, start, os.SEEK_HOLE))
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            return position, size - position
        raise
    return (start, end - start) if start < end else None


def _append(segments: Segments, part: tuple[int, int], least: int) -> None:
    """Add a part, together with the hole before it if that is shorter than ``least``."""
    start, length = part
    if segments and start - sum(segments[-1]) < least:
        start = segments.pop()[0]
        length = sum(part) - start
    segments.append((start, length))


def _merged(segments: Segments, least: int) -> Segments:
    merged: Segments = []
    for part in segments:
        _append(merged, part, least)
    return merged


def part(segments: Segments, offset: int, size: int, most: int) -> tuple[int, Segments]:
    """The part of a file of this size that begins at an offset and has up to so many bytes of data, but at
    least one block. It ends with a block: in a sparse member, ``tar`` reads each segment as whole blocks.

    Returns where it ends, and its segments.
    """
    taken: Segments = []
    end = size
    for start, length in segments:
        begin = max(start, offset)
        count = min(start + length - begin, most)
        if start + length <= offset or not length:
            continue
        if begin + count < start + length:
            count -= (begin + count) % BLOCK
            if count <= 0 and not taken:
                count = min(BLOCK, start + length - begin)
            end = begin + count if count > 0 else sum(taken[-1])
        if count > 0:
            taken.append((begin, count))
            most -= count
        if end < size:
            break
    if not taken or sum(taken[-1]) < end:
        taken.append((end, 0))
    return end, taken


def to_map(segments: Segments) -> bytes:
    """The map as it precedes the data, filled up to whole blocks."""
    numbers = [len(segments), *(number for part in segments for number in part)]
    plain = b"".join(b"%d\n" % number for number in numbers)
    return plain + bytes(-len(plain) % 512)


class MapReader:
    """Reads a map from the data of a member, block by block."""

    def __init__(self, size: int) -> None:
        self.segments: Segments = []
        self._size = size
        self._numbers: list[int] = []
        self._rest = b""

    def feed(self, block: bytes) -> bool:
        """Read the next 512 bytes; True when the map is whole. Raises ValueError if it is not a map."""
        *lines, self._rest = (self._rest + block).split(b"\n")
        for line in lines:
            self._numbers.append(_decimal(line))
            if len(self._numbers) == 2 * self._numbers[0] + 1:
                self.segments = list(zip(self._numbers[1::2], self._numbers[2::2], strict=True))
                self._check()
                return True
        if not lines:
            raise ValueError("no number in a whole block")
        return False

    def _check(self) -> None:
        position = 0
        for start, length in self.segments:
            if start < position or start + length > self._size:
                raise ValueError("parts overlap or pass the end")
            position = start + length


def _decimal(line: bytes) -> int:
    if not line.isdigit():
        raise ValueError(line)
    return int(line)
