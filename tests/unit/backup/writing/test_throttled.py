"""A set whose sources may not be read at any speed; a long file that is stopped between its pieces."""

from __future__ import annotations

import os
from typing import Any

import pytest

from backup.errors import Ended
from backup.writing.buffer import Buffer
from tests.unit.backup.rig import Log, Rig


class Slow:
    """A rate limit that ends after so many reads."""

    def __init__(self, reads: int) -> None:
        self.seconds, self.bytes, self.left = 0.0, 0, reads

    def is_slowing(self) -> bool:
        return self.left > 0

    def took(self, count: int) -> None:
        self.bytes += count
        self.seconds += 1.0 if self.is_slowing() else 0.0
        self.left -= 1


def test_all_that_is_read_counts_for_the_rate_limit(rig: Rig) -> None:
    """Small files, which other processes read, and large ones; the time for it is counted by itself."""
    for number in range(40):
        (rig.source / f"small{number}").write_bytes(b"x" * 1000)
    (rig.source / "large").write_bytes(b"y" * (3 << 20))
    slow = Slow(3)
    summary = rig.back_up(throttle=slow, compression="none")
    assert slow.bytes == summary.size == 40_000 + (3 << 20)
    assert summary.seconds.slowed == 3.0
    rig.restore()
    assert rig.differences() == []


def test_the_drive_is_fed_as_before_when_the_limit_has_ended(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The buffer's mark, which rose while the source was slow, is low again from the next archive on."""
    marks = []
    forget = Buffer.forget_its_starvations

    def note(self: Buffer) -> None:
        forget(self)
        marks.append(self.mark)

    monkeypatch.setattr(Buffer, "forget_its_starvations", note)
    for number in range(4):
        (rig.source / f"{number}").write_bytes(b"y" * (2 << 20))
    how = {"compression": "none", "archive_bytes": 2 << 20, "in_bursts": True}
    rig.back_up(throttle=Slow(2), **how)
    first = Buffer(64 << 20, in_bursts=True).mark
    assert marks == [first]


def test_a_long_file_is_left_after_a_piece_and_gone_on_with(rig: Rig) -> None:
    """Whoever has to end does not wait for all of it, and nothing of it is read twice."""
    (rig.source / "long").write_bytes(os.urandom(3 << 20))
    how: dict[str, Any] = {"compression": "none", "archive_bytes": 64 << 10}
    with pytest.raises(Ended):
        rig.back_up(log=(log := Log(ends_after=3)), **how)
    assert 3 <= len(log.archives) <= 4
    rig.log = Log(archives=log.archives, entries=log.entries)
    summary = rig.back_up(resume=log.resume_point(), **how)
    assert len(summary.archives) >= 12
    rig.restore()
    assert rig.differences() == []
