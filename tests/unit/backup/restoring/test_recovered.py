"""An archive whose index is damaged: its own headers say where its files are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup.entry import FileType, raw
from backup.format import tar_reader
from backup.restore import Restoration
from backup.restoring import chosen
from backup.restoring.chosen import Choice, Choices
from backup.restoring.report import RestoreReport
from tests.unit.backup.rig import SET
from tests.unit.backup.test_round_trip import grow, trees


def choices(rig: Any) -> Choices:
    """What the catalogue wants of the set: everything."""
    made = Choices(rig.spool / "choices.zst")
    position: dict[int, int] = {}
    archives = [archive for archive in rig.log.archives for _ in range(archive.files)]
    for archive, entry in zip(archives, rig.log.entries, strict=True):
        position[archive.number] = position.get(archive.number, -1) + 1
        made.add(Choice(archive.number, position[archive.number], raw(entry.path), entry.blake3 or b""))
    made.end()
    return made


def restore(rig: Any) -> RestoreReport:
    """As a run does it: archive by archive, by what the catalogue knows."""
    with Restoration(rig.target) as restoration:
        for number, wanted in choices(rig).by_archive():
            found = chosen.entries(rig.volume, (SET, number, wanted), restoration.lose)
            restoration.take(rig.volume, SET, found)
        return restoration.finish()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    tree=trees,
    compression=st.sampled_from(["zstd", "none"]),
    where=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_a_flipped_bit_in_an_index_costs_no_file(
    new_rig: Callable[[], Any], tree: dict[bytes, Any], compression: str, where: float, bit: int
) -> None:
    """Whatever the tree, and wherever the bit: everything comes back as it was."""
    rig = new_rig()
    grow(os.fsencode(rig.source), tree, [])
    rig.back_up(compression=compression, archive_bytes=1 << 30, frame_bytes=4096)
    path = rig.file("index-000001.jsonl.zst")
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    path.write_bytes(data)
    assert restore(rig).failures == []
    assert rig.differences() == []


def test_headers_tell_what_an_index_tells(rig: Any) -> None:
    """All but what no header holds."""
    (rig.source / "a").write_text("a" * 1000)
    (rig.source / "文件").symlink_to("a")
    os.link(rig.source / "a", rig.source / "b")
    os.setxattr(rig.source / "a", "user.x=y%", b"\xff\0")
    os.utime(rig.source / "a", ns=(0, -1_500_000_001))
    rig.back_up(compression="none")
    with rig.file("data-000001.tar").open("rb") as archive:
        found = list(tar_reader.members(archive, 1, framed=False))
    for told, known in zip(found, rig.log.entries, strict=True):
        unknown = {"ctime_ns": 0, "inode": 0, "nlink": 1, "blake3": None}
        same = known._replace(**unknown)
        if known.type is FileType.HARDLINK:
            same = same._replace(size=0, place=told.place)
        assert told == same


def test_files_of_an_index_that_is_gone_are_verified(rig: Any) -> None:
    """A file that is damaged too is named, by the hash that the catalogue has."""
    (rig.source / "a").write_bytes(b"a" * 3000)
    (rig.source / "b").write_bytes(b"b" * 3000)
    rig.back_up(compression="none")
    rig.file("index-000001.jsonl.zst").unlink()
    path = rig.file("data-000001.tar")
    path.write_bytes(path.read_bytes().replace(b"b" * 3000, b"b" * 2999 + b"c"))
    assert [Path(name).name for name, _ in restore(rig).failures] == ["b"]
    assert rig.restored("a").exists()


@pytest.mark.parametrize("cut", [0, 700, 1500])
def test_what_lies_behind_the_end_of_a_cut_archive_is_named(rig: Any, cut: int) -> None:
    """Index gone and archive cut off: what was found is restored, the rest is named."""
    for name in ("a", "b", "c"):
        (rig.source / name).write_bytes(b"x" * 600)
    rig.back_up(compression="none")
    rig.file("index-000001.jsonl.zst").unlink()
    os.truncate(rig.file("data-000001.tar"), cut)
    report = restore(rig)
    assert report.files + len(report.failures) == 4
    assert report.failures
