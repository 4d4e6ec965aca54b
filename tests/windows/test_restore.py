"""A restore into a folder of Windows: names, times, and what Windows cannot have."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from backup.entry import Entry, FileType
from backup.format.manifest import entries_on
from backup.restoring import dirfd
from tests.unit.backup.bench import SET, Bench

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="of Windows alone")

TIME = 1_600_000_000_123_456_700


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def long(path: Path) -> str:
    """A path of any length."""
    return f"\\\\?\\{path}"


def restored(bench: Bench) -> Path:
    """The source below the target: what came from ``C:`` is in ``C``."""
    letter, rest = str(bench.source)[0], str(bench.source)[3:]
    return bench.target / letter / rest


def model(bench: Bench) -> Entry:
    return next(entry for entry in entries_on(bench.volume, SET) if entry.type is FileType.FILE)


def test_a_round_trip(bench: Bench) -> None:
    """Contents, names, times and read-only files come back; a folder keeps its time though it was filled."""
    folder = bench.source / "资料" / "empty"
    folder.mkdir(parents=True)
    (folder.parent / "一.txt").write_text("内容", encoding="utf-8")
    (bench.source / "big").write_bytes(os.urandom(9_000_000))
    (bench.source / "fixed").write_bytes(b"\r\n\x1a" * 1000)
    for path in (bench.source / "big", bench.source / "fixed", folder.parent):
        os.utime(path, ns=(TIME, TIME))
    (bench.source / "fixed").chmod(stat.S_IREAD)
    bench.back_up()
    report = bench.restore()
    there = restored(bench)
    assert (report.failures, report.incomplete, report.kept) == ([], [], [])
    assert (there / "big").read_bytes() == (bench.source / "big").read_bytes()
    assert (there / "fixed").read_bytes() == b"\r\n\x1a" * 1000
    assert (there / "资料" / "一.txt").read_text(encoding="utf-8") == "内容"
    assert (there / "资料" / "empty").is_dir()
    for name in ("big", "fixed", "资料"):
        assert (there / name).stat().st_mtime_ns == TIME
    assert not (there / "fixed").stat().st_mode & stat.S_IWRITE
    assert (there / "big").stat().st_mode & stat.S_IWRITE


def test_what_is_there_stays_unless_it_is_overwritten(bench: Bench) -> None:
    """Also a read-only file is replaced where that was asked for, and only then."""
    (bench.source / "file").write_text("new")
    bench.back_up()
    there = restored(bench) / "file"
    there.parent.mkdir(parents=True)
    there.write_text("old")
    there.chmod(stat.S_IREAD)
    assert len(bench.restore().differing) == 1
    assert there.read_text() == "old"
    report = bench.restore(overwrite=True)
    assert report.failures == []
    assert there.read_text() == "new"
    assert [path.name for path in there.parent.iterdir()] == ["file"]


def test_a_path_longer_than_windows_likes(bench: Bench) -> None:
    """The limit of 260 characters is none here."""
    (bench.source / "file").write_text("deep")
    bench.back_up()
    path = "/C:/" + "/".join(f"folder-{number:03}" for number in range(40)) + "/file"
    report = bench.restore([model(bench)._replace(path=path)])
    assert report.failures == []
    place = bench.target / "C" / Path(path[4:])
    with open(long(place), "rb") as file:  # noqa: PTH123 - as text
        assert file.read() == b"deep"


@pytest.mark.parametrize(
    "path",
    [
        "/a:stream", "/a\\..\\..\\out", "/NUL", "/nul.txt", "/Com1", "/LPT9.tar.gz", "/CON .x", "/dot.",
        "/blank ", "/a|b", "/a?b", "/C:/D:/x", "/C:/../x", "/tab\tx", "//server/share", "/x/C:", "/COM\xb9",
    ],
)  # fmt: skip
def test_a_name_that_windows_cannot_have(bench: Bench, path: str) -> None:
    """It is one failure with its reason: it neither leads out of the target, nor to a device or a stream."""
    (bench.source / "file").write_text("x")
    bench.back_up()
    report = bench.restore([model(bench)._replace(path=path), model(bench)])
    assert [report.files, len(report.failures)] == [1, 1]
    names = {item.name for item in bench.target.rglob("*") if item.is_file()}
    assert names == {"file"}
    assert not (bench.target.parent / "out").exists()


def test_names_that_differ_in_capitals(bench: Bench) -> None:
    """The second of two such names is a failure, and never silently the first one's content."""
    (bench.source / "file").write_text("x")
    bench.back_up()
    found = model(bench)
    for overwrite in (False, True):
        entries = [found._replace(path=f"/C:/{name}") for name in ("Readme", "README")]
        report = bench.restore(entries, overwrite=overwrite)
        assert ["capitals" in str(reason) for _, reason in report.failures] == [True]
        assert [path.name for path in (bench.target / "C").iterdir()] == ["Readme"]


def test_what_windows_has_not(bench: Bench) -> None:
    """A fifo is a failure that says so, and costs nothing else."""
    (bench.source / "file").write_text("x")
    bench.back_up()
    fifo = model(bench)._replace(path="/C:/pipe", type=FileType.FIFO)
    report = bench.restore([fifo, model(bench)])
    assert (report.files, len(report.failures)) == (1, 1)


def test_a_folder_that_is_held_cannot_be_exchanged(tmp_path: Path) -> None:
    """While files come into a folder nobody can put a link in its place."""
    (tmp_path / "folder").mkdir()
    held = dirfd.root(str(tmp_path / "folder"))
    inner = dirfd.again(held)
    try:
        with pytest.raises(PermissionError):
            (tmp_path / "folder").rename(tmp_path / "other")
    finally:
        dirfd.close(inner)
        dirfd.close(held)
    (tmp_path / "folder").rename(tmp_path / "other")
