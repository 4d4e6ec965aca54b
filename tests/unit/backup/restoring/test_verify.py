"""Reading a set back: whatever is not as it was written is found, and named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup.verify import Verification, VerifyReport
from tests.unit.backup.rig import SET


def fill(folder: Path, count: int = 12, size: int = 3000) -> None:
    for number in range(count):
        (folder / f"f{number:02}").write_bytes(os.urandom(size))


def verify(rig: Any, **options: Any) -> VerifyReport:
    verification = Verification(rig.volume, SET, **options)
    verification.documents(complete=True)
    for archive in rig.log.archives:
        verification.archive(archive)
    return verification.report


def damaged(report: VerifyReport) -> set[str]:
    return {Path(name).name for name, _ in report.damaged}


def flip(path: Path, where: float, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    path.write_bytes(data)


def test_a_sound_set_has_nothing_damaged(rig: Any) -> None:
    """Everything is read once, and counted."""
    fill(rig.source)
    rig.back_up(archive_bytes=10_000)
    report = verify(rig)
    assert (report.damaged, report.files) == ([], 13)
    assert report.read == sum(path.stat().st_size for path in rig.file("").glob("*-0*"))


FILES = ("data-000001", "data-000002", "index-000001", "index-000002", "set", "complete")


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(FILES),
    where=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    compression=st.sampled_from(["zstd", "none"]),
)
def test_a_flipped_bit_anywhere_is_found_and_costs_no_other_file(
    new_rig: Callable[[], Any], name: str, where: float, bit: int, compression: str
) -> None:
    """In an archive, an index or a manifest: verify names it, and no more than one file of the source."""
    rig = new_rig()
    fill(rig.source)
    rig.back_up(archive_bytes=20_000, frame_bytes=1, compression=compression)
    [path] = rig.file("").glob(f"{name}.*")
    flip(path, where, bit)
    report = verify(rig)
    assert report.damaged
    if name.startswith("data"):
        assert len(report.damaged) == 1
    else:
        assert path.name in damaged(report)


def test_a_damaged_file_is_named_by_its_path(rig: Any) -> None:
    """Of an archive that is not whole, each file is compared: one is damaged, the others are counted."""
    fill(rig.source)
    rig.back_up(compression="none")
    content = (rig.source / "f05").read_bytes()
    path = rig.file("data-000001.tar")
    path.write_bytes(path.read_bytes().replace(content, bytes(3000)))
    report = verify(rig)
    assert damaged(report) == {"f05"}
    assert report.files == 11


@pytest.mark.parametrize("cut", [0, 100])
def test_an_archive_that_is_gone_or_cut_off_is_found(rig: Any, cut: int) -> None:
    """Its files are named."""
    fill(rig.source, 2)
    rig.back_up(compression="none")
    path = rig.file("data-000001.tar")
    os.truncate(path, cut)
    assert damaged(verify(rig)) == {"f00", "f01"}
    path.unlink()
    assert damaged(verify(rig)) == {"f00", "f01"}


def test_a_sample_reads_about_its_part(rig: Any) -> None:
    """Another run takes another sample; a damaged file is found when it is in it."""
    fill(rig.source, 200, 4000)
    rig.back_up(compression="none", frame_bytes=1)
    reports = [verify(rig, percent=10, seed=seed) for seed in range(3)]
    assert all(5 <= report.files <= 40 for report in reports)
    assert len({report.read for report in reports}) > 1
    for path in rig.file("").glob("data-*"):
        path.write_bytes(bytes(path.stat().st_size))
    assert len(verify(rig, percent=10).damaged) == reports[0].files


def test_the_smallest_sample_reads_a_file_of_each_archive(rig: Any) -> None:
    """Whoever asks for one percent of a few files is not told that nothing is damaged by reading nothing."""
    fill(rig.source, 4, 4000)
    rig.back_up(compression="none", archive_bytes=6_000)
    assert len(rig.log.archives) == 5  # the first holds the folder alone
    assert verify(rig, percent=1).files == 4
