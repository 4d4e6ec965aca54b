"""Memory between the source and the drive: a drive that has to stop for data wears the tape and loses time.

A thread writes the buffer. With ``in_bursts``, it begins only when the buffer has filled to the high-water
mark, and continues until it is empty. The mark is low at first, and rises each time the drive ran dry before
the end of a file: a source that keeps pace never waits, a slow one soon leads to few and long bursts.
"""

from __future__ import annotations

import threading
from collections import deque
from time import perf_counter

from backup.format.volume_file import close_after
from backup.phases import Phases
from policy.units import MIB
from tape.drive import TapeFile

BLOCK = MIB
MIN = 8 * BLOCK
FIRST_MARK = 1 / 64
"""The initial high-water mark, as a part of the buffer."""
RISE = 4
HIGHEST_MARK = 4 / 5


class Buffer:
    """What the files of one set share: blocks of memory, the mark, how often the drive ran dry."""

    def __init__(self, size: int, *, in_bursts: bool) -> None:
        self.size = max(size, MIN)
        self._first_mark = max(int(self.size * FIRST_MARK), 2 * BLOCK) if in_bursts else 0
        self.mark = self._first_mark
        self.starved = 0
        self._free: list[memoryview] = []

    def forget_its_starvations(self) -> None:
        """The source was slow on purpose, and is no longer: a high mark would only delay each file."""
        self.mark = self._first_mark

    def take(self) -> memoryview:
        """A free block of memory."""
        try:
            return self._free.pop()
        except IndexError:
            return memoryview(bytearray(BLOCK))

    def give(self, block: memoryview) -> None:
        """Take back a block that nobody needs any more."""
        self._free.append(block)

    def ran_dry(self) -> None:
        """There is nothing to write in the middle of a file."""
        if not self.mark:
            return
        self.starved += 1
        self.mark = min(self.mark * RISE, int(self.size * HIGHEST_MARK))


class BufferedFile:
    """A file of the volume, written by a thread. Data given to ``write`` belongs to the file from then on.

    An error of the drive is raised by the next ``write``, or by ``close``.
    """

    def __init__(self, file: TapeFile, buffer: Buffer, phases: Phases) -> None:
        self._file = file
        self._buffer = buffer
        self._phases = phases
        self._waiting: deque[bytes | bytearray | memoryview] = deque()
        self._held = 0
        self._ended = self._dropped = self._runs = self._is_full = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write, name="drive", daemon=True)
        self._thread.start()

    @property
    def held(self) -> int:
        """Bytes that the drive has not received yet."""
        return self._held

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """Pass on data; waits while the buffer is full. Raises TapeFull, TapeWriteError."""
        started = perf_counter()
        with self._changed:
            while self._held and self._held + len(data) > self._buffer.size and self._error is None:
                self._is_full = True
                self._changed.notify()
                self._changed.wait()
            self._is_full = False
            self._raise()
            if self._dropped:
                return
            self._waiting.append(data)
            self._held += len(data)
            self._changed.notify()
        self._phases.wait += perf_counter() - started

    def close(self) -> None:
        """Write the rest and end the file. Raises TapeFull, TapeWriteError."""
        started = perf_counter()
        self._stop(dropped=False)
        self._phases.wait += perf_counter() - started
        try:
            self._raise()
        except BaseException as error:
            close_after(self._file, error)
            raise
        self._file.close()

    def drop(self) -> None:
        """The file no longer counts: write no more of it, and let nobody wait."""
        self._stop(dropped=True)
        with self._changed:
            self._waiting.clear()
            self._held = 0
            self._changed.notify_all()

    def _stop(self, *, dropped: bool) -> None:
        with self._changed:
            self._ended = True
            self._dropped = self._dropped or dropped
            self._changed.notify_all()
        self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            self._dropped = True
            raise error

    def _write(self) -> None:
        try:
            while (data := self._next()) is not None:
                started = perf_counter()
                self._file.write(data)
                self._phases.drive += perf_counter() - started
                self._done(data)
        except BaseException as error:  # noqa: BLE001 - carried over to the thread that hands over
            with self._changed:
                self._error = error
                self._waiting.clear()
                self._held = 0
                self._changed.notify()

    def _next(self) -> bytes | bytearray | memoryview | None:
        with self._changed:
            while not self._dropped:
                if self._waiting and (self._runs or self._ended or self._is_enough()):
                    self._runs = True
                    return self._waiting.popleft()
                if self._ended and not self._waiting:
                    return None
                if self._runs and not self._waiting:
                    self._runs = False
                    self._buffer.ran_dry()
                self._changed.wait()
            return None

    def _is_enough(self) -> bool:
        # A large piece may not fit before the mark is reached; it would wait for ever.
        return self._held >= self._buffer.mark or self._is_full

    def _done(self, data: bytes | bytearray | memoryview) -> None:
        with self._changed:
            self._held -= len(data)
            if isinstance(data, memoryview):
                self._buffer.give(memoryview(data.obj))
            self._changed.notify()
