"""A damaged file is named, and costs no other."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup import restore as restore_module
from backup.errors import SetUnreadable
from backup.format.manifest import entries_on
from policy.message import M
from tape.errors import TapeReadError
from tests.unit.backup.rig import SET


def fill(folder: Path, count: int = 12, size: int = 3000) -> None:
    for number in range(count):
        (folder / f"f{number:02}").write_bytes(os.urandom(size))


def failed(report: restore_module.RestoreReport) -> set[str]:
    return {Path(path).name for path, _ in report.failures}


def flip(path: Path, position: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


@settings(max_examples=25, deadline=None)
@given(
    where=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    compression=st.sampled_from(["zstd", "none"]),
)
def test_a_flipped_bit_costs_no_other_file(
    new_rig: Callable[[], Any], where: float, bit: int, compression: str
) -> None:
    """A damaged file is named and not restored; files of other frames are whole, and no file is wrong."""
    rig = new_rig()
    fill(rig.source)
    rig.back_up(compression=compression, frame_bytes=1)
    archive = rig.file(rig.log.archives[0].name)
    flip(archive, int(where * rig.log.archives[0].bytes), bit)
    report = rig.restore()
    assert len(report.failures) <= 1
    restored = {path.name: path.read_bytes() for path in rig.restored().iterdir()}
    assert restored == {
        path.name: path.read_bytes() for path in rig.source.iterdir() if path.name not in failed(report)
    }


def test_a_flipped_bit_in_the_data_is_found(rig: Any) -> None:
    """The hash finds a wrong bit where nothing else would, and names the file."""
    fill(rig.source)
    rig.back_up(compression="none")
    place = rig.entries()["f05"].place
    flip(rig.file("data-000001.tar"), place.offset + place.head + 1000)
    report = rig.restore()
    assert failed(report) == {"f05"}
    assert "hash" in str(report.failures[0][1])
    assert (report.files, report.size) == (12, 33_000)


def test_damage_in_a_frame_costs_only_the_rest_of_it(rig: Any) -> None:
    """What lies before the damage in its frame, and all other frames, come back."""
    fill(rig.source, 30, 100_000)
    rig.back_up(frame_bytes=1_000_000, level=1)
    frames = sorted({entry.place.frame for entry in rig.entries().values()})
    assert len(frames) >= 3
    flip(rig.file("data-000001.tar.zst"), frames[1] + (frames[2] - frames[1]) // 2)
    report = rig.restore()
    lost = failed(report)
    hit = {name for name, entry in rig.entries().items() if entry.place.frame == frames[1]}
    assert lost
    assert lost < hit


def test_an_archive_cut_off_costs_only_its_end(rig: Any) -> None:
    """Of an archive that lost its end, the files before it come back."""
    fill(rig.source)
    rig.back_up(compression="none")
    os.truncate(rig.file("data-000001.tar"), rig.entries()["f10"].place.offset + 2000)
    assert failed(rig.restore()) == {"f10", "f11"}


def test_an_archive_that_is_not_there_costs_only_its_files(rig: Any) -> None:
    """Files of a missing archive are named one by one, the others come back."""
    fill(rig.source)
    rig.back_up(archive_bytes=10_000)
    gone = rig.log.archives[1]
    names = {name for name, entry in rig.entries().items() if entry.place.archive == gone.number}
    rig.file(gone.name).unlink()
    report = rig.restore()
    assert failed(report) == names
    assert f"archive {gone.number}" in str(report.failures[0][1])


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), "tape"])
def test_a_place_the_tape_cannot_read_costs_only_its_files(rig: Any, error: Any) -> None:
    """A read error of the drive is told for the files there; reading goes on behind it."""
    (rig.source / "a").write_bytes(os.urandom(3 << 20))
    (rig.source / "b").write_bytes(os.urandom(3 << 20))
    rig.back_up(compression="none")
    raised = TapeReadError(M("The drive could not read.")) if error == "tape" else error
    real_open = rig.volume.open

    def open_failing(name: str) -> Any:
        return _FailsOnce(real_open(name), raised) if name.endswith(".tar") else real_open(name)

    rig.volume.open = open_failing
    report = rig.restore()
    assert failed(report) == {"a"}
    assert rig.restored("b").read_bytes() == (rig.source / "b").read_bytes()


class _FailsOnce:
    """A file whose second read fails."""

    def __init__(self, file: Any, error: Exception) -> None:
        self._file = file
        self._error: Exception | None = error
        self._reads = 0

    def read(self, size: int = -1) -> bytes:
        self._reads += 1
        if self._reads == 2 and self._error is not None:
            raise self._error
        return bytes(self._file.read(size))

    def seek(self, position: int) -> int:
        return int(self._file.seek(position))

    def close(self) -> None:
        self._file.close()


def test_an_index_that_is_damaged_is_told(rig: Any) -> None:
    """Without its index an archive is named; with 'damaged' the entries of the others still come."""
    fill(rig.source)
    rig.back_up(archive_bytes=10_000)
    flip(rig.file("index-000002.jsonl.zst"), 40)
    with pytest.raises(SetUnreadable, match="index-000002"):
        list(entries_on(rig.volume, SET))
    told: list[int] = []
    entries = list(entries_on(rig.volume, SET, damaged=lambda number, error: told.append(number)))
    assert told == [2]
    assert {entry.place.archive for entry in entries} == {a.number for a in rig.log.archives} - {2}


def test_a_set_without_its_end_can_be_restored(rig: Any) -> None:
    """What was sealed before a crash comes back, without a catalogue and without complete.json."""
    fill(rig.source)
    rig.volume.capacity = 30_000
    with pytest.raises(Exception, match="full"):
        rig.back_up(archive_bytes=10_000)
    report = rig.restore()
    assert report.failures == []
    assert report.files == len(rig.log.entries) > 1
