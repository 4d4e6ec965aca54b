"""A drive that must stream: fed by a slow source, with the buffer and without it.

The drive is simulated in real time: it takes 400 MB/s from a small memory of its own, and each time that
memory is empty it has to stop, go back and start again, as a tape does.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from backup.phases import Phases
from backup.writing.buffer import (
    BLOCK,
    MIN,
    Buffer,
    BufferedFile,
)

RATE = 400e6
"""Bytes a second."""
OWN_MEMORY = 4 * BLOCK
"""Of the drive's own buffer: so much data it can bridge."""
STOP_SECONDS = 0.25
"""A stop, the way back and the start; a real one takes some seconds."""


class StreamingDrive:
    """Takes data as fast as a tape moves, and counts how often it had to stop."""

    def __init__(self) -> None:
        self.stops = 0
        self._dry_at = time.monotonic()
        """When all data that it received will be on tape."""
        self._starts_at = self._dry_at

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        now = time.monotonic()
        if now > self._dry_at:
            self.stops += 1
            # While it stops and rewinds, its own memory fills.
            self._starts_at = self._dry_at = now + STOP_SECONDS
        self._dry_at += len(data) / RATE
        if (self._dry_at - max(now, self._starts_at)) * RATE > OWN_MEMORY:
            time.sleep(max(self._dry_at - OWN_MEMORY / RATE - now, 0))

    def close(self) -> None:
        """The tape stops anyway."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """The result."""

    stops: int
    seconds: float


def feed(size: int, source_rate: float, buffer_bytes: int | None) -> Streamed:
    """Write so many bytes, which come at ``source_rate`` bytes a second; without a buffer for None.

    Nobody reads ahead but the buffer: while a block is handed over, the source waits.
    """
    drive = StreamingDrive()
    buffer = Buffer(buffer_bytes or MIN, in_bursts=buffer_bytes is not None)
    file = BufferedFile(drive, buffer, Phases()) if buffer_bytes else drive
    data = os.urandom(BLOCK)
    started = time.monotonic()
    due = started
    for _ in range(size // BLOCK):
        due = max(due, time.monotonic()) + BLOCK / source_rate
        time.sleep(max(due - time.monotonic(), 0))
        file.write(data)
    file.close()
    return Streamed(drive.stops, time.monotonic() - started)
