"""Numbers of any size: what the system reports of a file is kept to the last digit, whatever it is."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from backup.entry import Entry, FileType, Place
from backup.errors import SetUnreadable
from backup.format import index, tar, tar_reader
from backup.records import ArchiveRecord
from backup.restoring import metadata
from backup.source.links import LinkTable
from tests.unit.backup.rig import Rig

BORDERS = [
    sign * (1 << bits) + by for bits in (31, 32, 53, 63, 64, 100) for sign in (1, -1) for by in (-1, 0, 1)
]
MOMENTS = [
    seconds * 10**9 + rest for seconds in (-11644473600, -1, 253402300800, 99999999999) for rest in (0, 1)
]
anything = st.integers(-(1 << 127), 1 << 127) | st.sampled_from(BORDERS + MOMENTS)
natural = st.integers(0, 1 << 127) | st.sampled_from([number for number in BORDERS if number >= 0])


def entry(**numbers: int) -> Entry:
    facts = dict.fromkeys(("size", "mtime_ns", "ctime_ns", "inode", "uid", "gid"), 0)
    return Entry(
        path="/data/file", type=FileType.FILE, nlink=2, mode=0o640, uname="", gname="", blake3=b"\x01" * 32,
        place=Place(1, 0, 0, 0, 512, 0), **(facts | numbers),
    )  # fmt: skip


entries = st.builds(
    entry, size=natural, mtime_ns=anything, ctime_ns=anything, inode=natural, uid=natural, gid=natural
)


@given(entries, st.integers(0, 1 << 100))
def test_an_index_keeps_every_number(entry: Entry, total: int) -> None:
    """What is written is what is read, also where a fast reader of JSON would make a float of it."""
    record = ArchiveRecord(1, "data-000001.tar", 1, "", files=1, deleted=0, size=total, follows=None)
    with tempfile.TemporaryDirectory() as folder:
        writer = index.IndexWriter(Path(folder) / "index", "set", 1)
        writer.add(entry)
        writer.finish(record)
        with (Path(folder) / "index").open("rb") as file:
            reader = index.IndexReader(file, "index")
            assert list(reader) == [entry]
    assert reader.record == record


@pytest.mark.parametrize("value", [1.0, 1e300, "1", None, True])
def test_what_is_no_whole_number_is_no_entry(value: object) -> None:
    """A number that only looks like one is still damage."""
    line = json.loads(index.to_line(entry())) | {"mtime_ns": value}
    head = {"format": index.FORMAT, "version": index.VERSION}
    text = b"\n".join(json.dumps(each).encode() for each in (head, line))
    with pytest.raises(SetUnreadable):
        list(index.IndexReader(io.BytesIO(zstandard.compress(text)), "index"))


@given(entries)
def test_a_tar_keeps_what_it_has_a_field_for(entry: Entry) -> None:
    """Time and owner, by our own reader of headers and by Python's."""
    data = tar.header(entry, 0) + tar.END
    (found,) = tar_reader.members(io.BytesIO(data), 1, framed=False)
    assert (found.mtime_ns, found.uid, found.gid) == (entry.mtime_ns, entry.uid, entry.gid)
    with tarfile.open(fileobj=io.BytesIO(data)) as file:
        (member,) = file.getmembers()
        assert (member.uid, member.gid) == (entry.uid, entry.gid)
        assert member.mtime == pytest.approx(entry.mtime_ns / 10**9)


@given(entries)
def test_links_are_found_again_by_any_number(entry: Entry) -> None:
    """The table of links takes numbers that its database has no type for."""
    with tempfile.TemporaryDirectory() as folder:
        links = LinkTable(Path(folder) / "links")
        links.add(1 << 70, entry)
        found = links.find(1 << 70, entry)
        assert found is not None
        assert found.path == entry.path
        assert links.find(1 << 70, entry._replace(ctime_ns=entry.ctime_ns + 1)) is None
        links.close()


@pytest.fixture
def exact_bench() -> Iterator[Rig]:
    """A rig on a file system that holds times of 64 bits of seconds."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        pytest.skip("no file system in memory here")
    folder = Path(tempfile.mkdtemp(prefix="tl-", dir=memory))
    yield Rig(folder)
    shutil.rmtree(folder)


SECONDS = (-11644473600, -(1 << 40), -1, 0, (1 << 31), 9223372037, 99999999999, 1 << 40)


def test_odd_dates_come_back_as_they_were(exact_bench: Any) -> None:
    """1601, which some file servers show for no date, and years that no nanoseconds of 64 bits reach."""
    for seconds in SECONDS:
        path = exact_bench.source / str(seconds)
        path.write_text("x")
        os.utime(path, ns=(0, seconds * 10**9 + 5))
    summary = exact_bench.back_up()
    report = exact_bench.restore()
    assert (summary.warnings, report.failures, report.incomplete) == (0, [], [])
    assert exact_bench.differences() == []


def test_a_poorer_file_system_has_the_nearest_dates(exact_bench: Any, tmp_path: Path) -> None:
    """Each is reported, and is no difference: nothing nearer can be there. Another time is one."""
    exact_bench.target = tmp_path / "restored"
    for seconds in SECONDS:
        path = exact_bench.source / str(seconds)
        path.write_text("x")
        os.utime(path, ns=(0, seconds * 10**9 + 5))
    exact_bench.back_up()
    report = exact_bench.restore()
    exact = [
        path.stat().st_mtime_ns == int(path.name) * 10**9 + 5 for path in exact_bench.restored().iterdir()
    ]
    assert len(report.incomplete) == exact.count(False)
    assert exact_bench.differences() == []
    os.utime(exact_bench.restored("-1"), ns=(0, 1))
    assert [found.what for found in exact_bench.differences()] == ["mtime"]


def test_tar_alone_restores_odd_dates(exact_bench: Any) -> None:
    """The archive means the same to the program that README.txt names."""
    if shutil.which("tar") is None:
        pytest.skip("not installed here: tar")
    path = exact_bench.source / "odd"
    path.write_text("x")
    os.utime(path, ns=(0, -11644473600 * 10**9))
    exact_bench.back_up(compression="none")
    exact_bench.target.mkdir()
    archive = exact_bench.file("data-000001.tar")
    subprocess.run(["tar", "-xpf", archive, "-C", exact_bench.target], check=True, capture_output=True)
    assert exact_bench.differences() == []


def test_sums_of_sizes_pass_sixty_four_bits(exact_bench: Any) -> None:
    """Three files of which each is as long as a file can be, and holds next to nothing."""
    for name in "abc":
        with (exact_bench.source / name).open("wb") as file:
            file.write(b"content")
            file.truncate((1 << 63) - 4096)
    summary = exact_bench.back_up()
    assert (summary.size, summary.warnings) == (3 * ((1 << 63) - 4096), 0)
    report = exact_bench.restore()
    assert (report.size, report.failures) == (summary.size, [])
    for name in "abc":
        path = exact_bench.restored(name)
        assert path.stat().st_size == (1 << 63) - 4096
        with path.open("rb") as file:
            assert file.read(8) == b"content\0"


@pytest.mark.parametrize(
    "changes", [{"mtime_ns": 1 << 100}, {"mtime_ns": -(1 << 100)}, {"uid": 1 << 70}, {"gid": 1 << 64}]
)
def test_a_number_that_this_system_cannot_hold_costs_the_file_nothing_else(
    rig: Any, changes: dict[str, int]
) -> None:
    """The content is restored; the number is what is reported."""
    if "mtime_ns" not in changes and not metadata.may_own():
        pytest.skip("only root gives files away")
    (rig.source / "f").write_text("content")
    rig.back_up()
    odd = rig.entries()["f"]._replace(**changes)
    report = rig.restore([odd])
    assert (report.files, report.failures) == (1, [])
    assert len(report.incomplete) == 1
    assert rig.restored("f").read_text() == "content"


def test_a_time_that_the_target_rounds_is_reported(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system takes the nearest time that it has without an error."""
    utime = os.utime

    def clamping(file: Any, *, ns: tuple[int, int], **options: Any) -> None:
        utime(file, ns=(ns[0], min(ns[1], 10**18)), **options)

    (rig.source / "f").write_text("content")
    rig.back_up()
    monkeypatch.setattr(os, "utime", clamping)
    odd = rig.entries()["f"]._replace(mtime_ns=253402300800 * 10**9)
    ((name, reason),) = rig.restore([odd]).incomplete
    assert name.endswith("/f")
    assert "nearest" in str(reason)
