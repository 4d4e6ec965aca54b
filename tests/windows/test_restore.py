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
from tests.unit.backup.rig import SET, Rig

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="of Windows alone")

TIME = 1_600_000_000_123_456_700


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def long(path: Path) -> str:
    """A path of any length."""
    return f"\\\\?\\{path}"


def restored(rig: Rig) -> Path:
    """The source below the target: what came from ``C:`` is in ``C``."""
    letter, rest = str(rig.source)[0], str(rig.source)[3:]
    return rig.target / letter / rest


def model(rig: Rig) -> Entry:
    return next(entry for entry in entries_on(rig.volume, SET) if entry.type is FileType.FILE)


def test_a_round_trip(rig: Rig) -> None:
    """Contents, names, times and read-only files come back; a folder keeps its time though it was filled."""
    folder = rig.source / "资料" / "empty"
    folder.mkdir(parents=True)
    (folder.parent / "一.txt").write_text("内容", encoding="utf-8")
    (rig.source / "big").write_bytes(os.urandom(9_000_000))
    (rig.source / "fixed").write_bytes(b"\r\n\x1a" * 1000)
    for path in (rig.source / "big", rig.source / "fixed", folder.parent):
        os.utime(path, ns=(TIME, TIME))
    (rig.source / "fixed").chmod(stat.S_IREAD)
    rig.back_up()
    report = rig.restore()
    there = restored(rig)
    assert (report.failures, report.incomplete, report.kept) == ([], [], [])
    assert (there / "big").read_bytes() == (rig.source / "big").read_bytes()
    assert (there / "fixed").read_bytes() == b"\r\n\x1a" * 1000
    assert (there / "资料" / "一.txt").read_text(encoding="utf-8") == "内容"
    assert (there / "资料" / "empty").is_dir()
    for name in ("big", "fixed", "资料"):
        assert (there / name).stat().st_mtime_ns == TIME
    assert not (there / "fixed").stat().st_mode & stat.S_IWRITE
    assert (there / "big").stat().st_mode & stat.S_IWRITE


def test_what_is_there_stays_unless_it_is_overwritten(rig: Rig) -> None:
    """Also a read-only file is replaced where that was asked for, and only then."""
    (rig.source / "file").write_text("new")
    rig.back_up()
    there = restored(rig) / "file"
    there.parent.mkdir(parents=True)
    there.write_text("old")
    there.chmod(stat.S_IREAD)
    assert len(rig.restore().differing) == 1
    assert there.read_text() == "old"
    report = rig.restore(overwrite=True)
    assert report.failures == []
    assert there.read_text() == "new"
    assert [path.name for path in there.parent.iterdir()] == ["file"]


def test_a_path_longer_than_windows_likes(rig: Rig) -> None:
    """The limit of 260 characters is none here."""
    (rig.source / "file").write_text("deep")
    rig.back_up()
    path = "/C:/" + "/".join(f"folder-{number:03}" for number in range(40)) + "/file"
    report = rig.restore([model(rig)._replace(path=path)])
    assert report.failures == []
    place = rig.target / "C" / Path(path[4:])
    with open(long(place), "rb") as file:  # noqa: PTH123 - as text
        assert file.read() == b"deep"


@pytest.mark.parametrize(
    "path",
    [
        "/a:stream", "/a\\..\\..\\out", "/NUL", "/nul.txt", "/Com1", "/LPT9.tar.gz", "/CON .x", "/dot.",
        "/blank ", "/a|b", "/a?b", "/C:/D:/x", "/C:/../x", "/tab\tx", "//server/share", "/x/C:", "/COM\xb9",
    ],
)  # fmt: skip
def test_a_name_that_windows_cannot_have(rig: Rig, path: str) -> None:
    """It is one failure with its reason: it neither leads out of the target, nor to a device or a stream."""
    (rig.source / "file").write_text("x")
    rig.back_up()
    report = rig.restore([model(rig)._replace(path=path), model(rig)])
    assert [report.files, len(report.failures)] == [1, 1]
    names = {item.name for item in rig.target.rglob("*") if item.is_file()}
    assert names == {"file"}
    assert not (rig.target.parent / "out").exists()


def test_names_that_differ_in_capitals(rig: Rig) -> None:
    """The second of two such names is a failure, and never silently the first one's content."""
    (rig.source / "file").write_text("x")
    rig.back_up()
    found = model(rig)
    for overwrite in (False, True):
        entries = [found._replace(path=f"/C:/{name}") for name in ("Readme", "README")]
        report = rig.restore(entries, overwrite=overwrite)
        assert ["capitals" in str(reason) for _, reason in report.failures] == [True]
        assert [path.name for path in (rig.target / "C").iterdir()] == ["Readme"]


def test_what_windows_has_not(rig: Rig) -> None:
    """A fifo is a failure that says so, and costs nothing else."""
    (rig.source / "file").write_text("x")
    rig.back_up()
    fifo = model(rig)._replace(path="/C:/pipe", type=FileType.FIFO)
    report = rig.restore([fifo, model(rig)])
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
