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
from tests.unit.backup.bench import SET


def fill(folder: Path, count: int = 12, size: int = 3000) -> None:
    for number in range(count):
        (folder / f"f{number:02}").write_bytes(os.urandom(size))


def verify(bench: Any, **options: Any) -> VerifyReport:
    verification = Verification(bench.volume, SET, **options)
    verification.documents(complete=True)
    for archive in bench.log.archives:
        verification.archive(archive)
    return verification.report


def damaged(report: VerifyReport) -> set[str]:
    return {Path(name).name for name, _ in report.damaged}


def flip(path: Path, where: float, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    path.write_bytes(data)


def test_a_sound_set_has_nothing_damaged(bench: Any) -> None:
    """Everything is read once, and counted."""
    fill(bench.source)
    bench.back_up(archive_bytes=10_000)
    report = verify(bench)
    assert (report.damaged, report.files) == ([], 13)
    assert report.read == sum(path.stat().st_size for path in bench.file("").glob("*-0*"))


FILES = ("data-000001", "data-000002", "index-000001", "index-000002", "set", "complete")


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(FILES),
    where=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    compression=st.sampled_from(["zstd", "none"]),
)
def test_a_flipped_bit_anywhere_is_found_and_costs_no_other_file(
    new_bench: Callable[[], Any], name: str, where: float, bit: int, compression: str
) -> None:
    """In an archive, an index or a manifest: verify names it, and no more than one file of the source."""
    bench = new_bench()
    fill(bench.source)
    bench.back_up(archive_bytes=20_000, frame_bytes=1, compression=compression)
    [path] = bench.file("").glob(f"{name}.*")
    flip(path, where, bit)
    report = verify(bench)
    assert report.damaged
    if name.startswith("data"):
        assert len(report.damaged) == 1
    else:
        assert path.name in damaged(report)


def test_a_damaged_file_is_named_by_its_path(bench: Any) -> None:
    """Of an archive that is not whole, each file is compared: one is damaged, the others are counted."""
    fill(bench.source)
    bench.back_up(compression="none")
    content = (bench.source / "f05").read_bytes()
    path = bench.file("data-000001.tar")
    path.write_bytes(path.read_bytes().replace(content, bytes(3000)))
    report = verify(bench)
    assert damaged(report) == {"f05"}
    assert report.files == 11


@pytest.mark.parametrize("cut", [0, 100])
def test_an_archive_that_is_gone_or_cut_off_is_found(bench: Any, cut: int) -> None:
    """Its files are named."""
    fill(bench.source, 2)
    bench.back_up(compression="none")
    path = bench.file("data-000001.tar")
    os.truncate(path, cut)
    assert damaged(verify(bench)) == {"f00", "f01"}
    path.unlink()
    assert damaged(verify(bench)) == {"f00", "f01"}


def test_a_sample_reads_about_its_part(bench: Any) -> None:
    """Another run takes another sample; a damaged file is found when it is in it."""
    fill(bench.source, 200, 4000)
    bench.back_up(compression="none", frame_bytes=1)
    reports = [verify(bench, percent=10, seed=seed) for seed in range(3)]
    assert all(5 <= report.files <= 40 for report in reports)
    assert len({report.read for report in reports}) > 1
    for path in bench.file("").glob("data-*"):
        path.write_bytes(bytes(path.stat().st_size))
    assert len(verify(bench, percent=10).damaged) == reports[0].files


def test_the_smallest_sample_reads_a_file_of_each_archive(bench: Any) -> None:
    """Whoever asks for one percent of a few files is not told that nothing is damaged by reading nothing."""
    fill(bench.source, 4, 4000)
    bench.back_up(compression="none", archive_bytes=6_000)
    assert len(bench.log.archives) == 5  # the first holds the folder alone
    assert verify(bench, percent=1).files == 4
