"""The buffer between the source and the drive."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.phases import Phases
from backup.writing.buffer import (
    BLOCK,
    FIRST_MARK,
    HIGHEST_MARK,
    MIN,
    Buffer,
    BufferedFile,
)
from tape.errors import TapeFull
from tests.unit.backup.rig import full

SECONDS = 10.0


class Drive:
    """A file that keeps what it is given, once it is let."""

    def __init__(self, capacity: int = 1 << 40) -> None:
        self.data = bytearray()
        self.open = threading.Event()
        self.open.set()
        self.closed = False
        self._capacity = capacity
        self._wrote = threading.Condition()

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        assert self.open.wait(SECONDS)
        if len(self.data) + len(data) > self._capacity:
            raise full()
        with self._wrote:
            self.data += data
            self._wrote.notify()

    def close(self) -> None:
        self.closed = True

    def has(self, length: int) -> bool:
        """Wait until it has so many bytes."""
        with self._wrote:
            return self._wrote.wait_for(lambda: len(self.data) >= length, SECONDS)


@given(st.lists(st.binary(min_size=1, max_size=3000), max_size=30), st.booleans())
def test_everything_arrives_in_its_order(parts: list[bytes], in_bursts: bool) -> None:
    drive = Drive()
    file = BufferedFile(drive, Buffer(MIN, in_bursts=in_bursts), Phases())
    for part in parts:
        file.write(part)
    file.close()
    assert bytes(drive.data) == b"".join(parts)
    assert drive.closed
    assert file.held == 0


def test_a_source_waits_for_a_drive_only_when_the_buffer_is_full() -> None:
    drive = Drive()
    drive.open.clear()
    file = BufferedFile(drive, Buffer(MIN, in_bursts=False), Phases())
    filled = threading.Event()
    more = threading.Thread(target=lambda: (file.write(bytes(BLOCK)), filled.set()), daemon=True)
    for _ in range(MIN // BLOCK):
        file.write(bytes(BLOCK))
    more.start()
    assert not filled.wait(0.2)
    drive.open.set()
    assert filled.wait(SECONDS)
    file.close()
    assert len(drive.data) == MIN + BLOCK


def test_a_drive_that_ran_dry_waits_for_a_longer_burst() -> None:
    """Written is nothing below the mark; each time the drive runs dry, the mark rises, up to its highest."""
    size = 256 * BLOCK
    buffer = Buffer(size, in_bursts=True)
    drive = Drive()
    file = BufferedFile(drive, buffer, Phases())
    marks = []
    for _ in range(4):
        mark, before = buffer.mark, len(drive.data)
        marks.append(mark // BLOCK)
        for _ in range(-(-mark // BLOCK) - 1):
            file.write(bytes(BLOCK))
        assert len(drive.data) == before
        file.write(bytes(BLOCK))
        assert drive.has(before + mark)
        waits_for(lambda before=mark: buffer.mark != before or before == int(size * HIGHEST_MARK))
    file.close()
    assert marks == [int(256 * FIRST_MARK), 16, 64, int(256 * HIGHEST_MARK)]
    assert buffer.starved == 4


def waits_for(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("waited in vain")


def test_an_error_of_the_drive_reaches_the_writer() -> None:
    file = BufferedFile(Drive(capacity=3 * BLOCK), Buffer(MIN, in_bursts=False), Phases())
    written = 0

    def write_on() -> None:
        nonlocal written
        while written < 1000:
            file.write(bytes(BLOCK))
            written += 1

    with pytest.raises(TapeFull):
        write_on()
    assert 3 <= written < 1000
    file.close()


def test_an_error_at_the_end_is_not_lost() -> None:
    drive = Drive(capacity=BLOCK)
    drive.open.clear()
    file = BufferedFile(drive, Buffer(MIN, in_bursts=False), Phases())
    file.write(bytes(2 * BLOCK))
    drive.open.set()
    with pytest.raises(TapeFull):
        file.close()
    assert drive.closed


def test_what_does_not_count_any_more_is_not_written() -> None:
    """An archive that is given up leaves at most what the drive is at."""
    drive = Drive()
    drive.open.clear()
    buffer = Buffer(MIN, in_bursts=True)
    file = BufferedFile(drive, buffer, Phases())
    for _ in range(MIN // BLOCK):
        file.write(bytes(BLOCK))
    threading.Timer(0.1, drive.open.set).start()
    file.drop()
    file.write(bytes(BLOCK))
    file.close()
    assert len(drive.data) <= BLOCK
    assert drive.closed


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", [BLOCK // 2, BLOCK, 2 * BLOCK, 3 * BLOCK, MIN, 2 * MIN])
@pytest.mark.parametrize("mark", [0, MIN // 2, int(MIN * HIGHEST_MARK), MIN])
def test_pieces_of_any_size_go_through(piece: int, mark: int) -> None:
    """A frame ends with a piece as large as what its compressor still had: it may not fit beside what has not
    reached the mark yet."""
    drive, buffer = Drive(), Buffer(MIN, in_bursts=True)
    buffer.mark = mark
    file = BufferedFile(drive, buffer, Phases())
    parts = [bytes(length) for length in (MIN * 3 // 4, piece, BLOCK // 3, piece, piece)]
    for part in parts:
        file.write(part)
    file.close()
    assert len(drive.data) == sum(map(len, parts))


@pytest.mark.timeout(20)
def test_who_waits_for_room_goes_on_when_the_file_is_given_up() -> None:
    """The thread that encrypts, for instance, whose end is waited for next."""
    drive = Drive()
    drive.open.clear()
    file = BufferedFile(drive, Buffer(MIN, in_bursts=True), Phases())
    for _ in range(MIN // BLOCK):
        file.write(bytes(BLOCK))
    waits = threading.Thread(target=file.write, args=(bytes(3 * BLOCK),), daemon=True)
    waits.start()
    threading.Timer(0.1, drive.open.set).start()
    file.drop()
    waits.join(SECONDS)
    assert not waits.is_alive()


@pytest.mark.timeout(20)
def test_nobody_waits_for_a_file_that_was_given_up() -> None:
    """An encrypted archive writes its end after it was given up, when the thread that made room is gone."""
    drive, buffer = Drive(), Buffer(MIN, in_bursts=True)
    buffer.mark = MIN  # so that the drive has not begun
    file = BufferedFile(drive, buffer, Phases())
    file.write(bytes(MIN - BLOCK))
    file.drop()
    file.write(bytes(2 * BLOCK))
    file.close()
    assert (bytes(drive.data), drive.closed, file.held) == (b"", True, 0)
