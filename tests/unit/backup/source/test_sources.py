"""What is found in the sources, and what is only a warning."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from backup import entry
from backup.errors import SourceMissing, SourceUnreadable, SourceUnusable
from backup.source import scan
from backup.write import write_set
from policy.message import M
from tests.unit.backup.rig import SET, Log, request


def fill(folder: Path, count: int = 12, size: int = 3000) -> None:
    for number in range(count):
        (folder / f"f{number:02}").write_bytes(bytes([number]) * size)


def reasons(log: Log) -> dict[str, str]:
    return {Path(path).name: str(reason) for path, reason in log.warnings}


def test_a_missing_source_is_named_before_anything_is_written(rig: Any) -> None:
    """The error names the path and what to do, and the volume stays empty."""
    with pytest.raises(SourceMissing, match="nowhere") as caught:
        rig.back_up(rig.source / "nowhere", rig.source / "nor here")
    assert caught.value.exit_code == 2
    assert caught.value.remedy is not None
    assert rig.volume.names() == []


def test_one_missing_source_of_several_is_a_warning(rig: Any) -> None:
    """What is there is backed up; the missing one is named with its reason."""
    fill(rig.source, 1)
    summary = rig.back_up(rig.source, rig.source.parent / "not mounted")
    assert summary.warnings == 1
    assert "mounted" in reasons(rig.log)["not mounted"]
    assert [entry.path for entry in rig.log.entries] == [str(rig.source), str(rig.source / "f00")]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can take rights away")
def test_a_source_that_may_not_be_read_is_refused_unless_another_can(short_path: Path) -> None:
    """Seen by trying, as the user that the worker runs as: a set of nothing would be no backup."""
    locked, file, open_ = short_path / "locked", short_path / "file", short_path / "open"
    locked.mkdir(mode=0o700)
    file.write_text("secret")
    file.chmod(0o600)
    open_.mkdir(mode=0o755)
    os.seteuid(65534)
    try:
        for source in (locked, file, locked / "inside"):
            with pytest.raises(SourceUnreadable, match=f"{source}.*Permission denied"):
                scan.roots([str(source)])
        found = scan.roots([str(locked), str(open_)], some_may_miss=True)
    finally:
        os.seteuid(0)
    assert found == (os.fsencode(locked), os.fsencode(open_))


@pytest.mark.parametrize("source", ["relative/path", "/dev/null", "/a\0b"])
def test_what_cannot_be_a_source_is_refused(rig: Any, source: str) -> None:
    """A relative path and a device are refused before anything is written."""
    with pytest.raises(SourceUnusable):
        rig.back_up(sources=(source,))
    assert rig.volume.names() == []


def test_no_source_is_refused(rig: Any) -> None:
    """A set of nothing is a mistake."""
    with pytest.raises(SourceUnusable):
        rig.back_up(sources=())


def test_nested_and_repeated_sources_are_stored_once(rig: Any) -> None:
    """A source inside another, the same twice, or through a link: each file has one entry."""
    (rig.source / "in").mkdir()
    fill(rig.source / "in", 2)
    (rig.source / "inner").write_text("a name that only begins alike")
    link = rig.source.parent / "link"
    link.symlink_to(rig.source)
    rig.back_up(rig.source / "in", rig.source / "inner", link, rig.source / "in")
    paths = [entry.path for entry in rig.log.entries]
    assert sorted(paths) == sorted(set(paths))
    assert paths == [str(rig.source / name) for name in ("", "in", "in/f00", "in/f01", "inner")]


def test_several_sources_and_one_that_is_a_file(rig: Any) -> None:
    """Sources that are folders and files are all stored, in order."""
    fill(rig.source, 1)
    file = rig.source.parent / "a file"
    file.write_text("alone")
    rig.back_up(rig.source, file)
    assert [entry.path for entry in rig.log.entries] == [
        str(file),
        str(rig.source),
        str(rig.source / "f00"),
    ]
    rig.restore()
    assert (rig.target / str(file)[1:]).read_text() == "alone"


def test_an_empty_folder_is_a_set(rig: Any) -> None:
    """A folder with nothing in it is one entry."""
    assert rig.back_up().files == 1


def test_sockets_are_warned_of(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a tape cannot hold is recorded with its reason, and the run goes on."""
    monkeypatch.chdir(rig.source)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        fill(rig.source, 1)
        summary = rig.back_up()
    assert "sockets and devices" in reasons(rig.log)["socket"]
    assert (summary.files, summary.warnings) == (2, 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_what_cannot_be_read_is_warned_of(rig: Any) -> None:
    """A file and a folder without permission are recorded, and all others are stored."""
    fill(rig.source, 2)
    (rig.source / "f00").chmod(0)
    (rig.source / "folder").mkdir(mode=0)
    try:
        summary = rig.back_up()
    finally:
        (rig.source / "folder").chmod(0o700)
    assert set(reasons(rig.log)) == {"f00", "folder"}
    assert "Permission denied" in reasons(rig.log)["f00"]
    assert summary.files == 3


def test_a_file_that_vanishes_is_warned_of(rig: Any) -> None:
    """A file that is gone when its turn comes is recorded, and the run goes on."""
    fill(rig.source, 3)
    rig.log.planned = lambda files, size, left_out: (rig.source / "f01").unlink()
    rig.back_up()
    assert "vanished" in reasons(rig.log)["f01"]
    assert set(rig.entries()) == {"", "f00", "f02"}


class Meddler:
    """Changes a file when its first block has been read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path, change: Any) -> None:
        self._readv = os.readv
        self._inode = path.stat().st_ino
        self._change = change
        monkeypatch.setattr("backup.writing.archive.os.readv", self)

    def __call__(self, fd: int, buffers: Any) -> int:
        count = self._readv(fd, [buffers[0][: 1 << 16]])
        if self._change and os.fstat(fd).st_ino == self._inode:
            change, self._change = self._change, None
            change()
        return count


def shrink(path: Path) -> None:
    os.truncate(path, 100_000)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more" * 100_000)


def touch(path: Path) -> None:
    os.utime(path, ns=(0, 5))


def fail(path: Path) -> None:
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize(
    ("change", "reason", "content"),
    [
        (shrink, "shrank", b"x" * 100_000 + bytes(200_000)),
        (grow, "grew", b"x" * 300_000),
        (touch, "changed", b"x" * 300_000),
        (fail, "read error", bytes(300_000)),
    ],
)
def test_a_file_that_changes_keeps_the_size_of_its_header(
    rig: Any, monkeypatch: pytest.MonkeyPatch, change: Any, reason: str, content: bytes
) -> None:
    """What changes or fails while it is read is cut or filled with zeros, told, and costs no other file."""
    fill(rig.source, 3)
    path = rig.source / "f01"
    path.write_bytes(b"x" * 300_000)
    Meddler(monkeypatch, path, lambda: change(path))
    summary = rig.back_up()
    assert reason in reasons(rig.log)["f01"]
    assert (summary.files, summary.warnings) == (4, 1)
    report = rig.restore()
    assert report.failures == []
    assert [Path(name).name for name, _ in report.incomplete] == ["f01"]
    assert rig.restored("f01").read_bytes() == content
    assert rig.restored("f02").read_bytes() == (rig.source / "f02").read_bytes()


def test_a_file_that_fails_at_once_has_no_member(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of which not a byte can be read is not stored as zeros."""
    fill(rig.source, 3)
    inode = (rig.source / "f01").stat().st_ino
    pread = os.pread

    def failing(fd: int, size: int, offset: int) -> bytes:
        if os.fstat(fd).st_ino == inode:
            raise OSError(5, "Input/output error")
        return pread(fd, size, offset)

    monkeypatch.setattr("backup.source.member.os.pread", failing)
    rig.back_up()
    assert "Input/output error" in reasons(rig.log)["f01"]
    assert "f01" not in rig.entries()


@pytest.mark.parametrize("change", [touch, fail])
def test_the_second_name_has_the_content_when_the_first_has_not(
    rig: Any, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    """A hard link never points to a copy that is no single state of the file."""
    path = rig.source / "a"
    path.write_bytes(b"x" * 300_000)
    os.link(path, rig.source / "b")
    Meddler(monkeypatch, path, lambda: change(path))
    rig.back_up()
    entries = rig.entries()
    assert (entries["a"].partial, entries["b"].partial) == (True, False)
    assert entries["b"].type is entry.FileType.FILE


def test_the_volume_and_the_spool_are_not_backed_up(rig: Any) -> None:
    """A source that holds the mounted tape and the spool is backed up without them."""
    fill(rig.source, 1)
    rig.back_up(rig.source.parent)
    assert set(reasons(rig.log)) == {"volume", SET}
    assert all("/volume/" not in entry.path for entry in rig.log.entries)


def test_many_names_in_one_folder_are_merged_in_order(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with more names than are sorted in memory comes out in the same order."""
    fill(rig.source, 50, 1)
    monkeypatch.setattr(scan, "RUN", 7)
    write_set(rig.volume, request(rig.source), rig.log, rig.spool)
    paths = [entry.path for entry in rig.log.entries]
    assert paths == sorted(paths)
    assert len(paths) == 51


def test_a_folder_comes_right_before_what_is_in_it(rig: Any) -> None:
    """The order is that of the names, level by level: 'a', 'a/b', then 'a.txt'."""
    (rig.source / "a").mkdir()
    (rig.source / "a" / "b").write_text("")
    (rig.source / "a.txt").write_text("")
    rig.back_up()
    assert list(rig.entries())[1:] == ["a", "a/b", "a.txt"]


def test_names_that_are_not_utf8_reach_people_as_text(rig: Any) -> None:
    """The path in a warning can be stored anywhere, whatever the bytes of the name are."""
    path = rig.source / os.fsdecode(b"\xff")
    os.mkfifo(path)
    rig.log.planned = lambda files, size, left_out: path.unlink()
    rig.back_up()
    assert rig.log.warnings == [(f"{rig.source}/\\xff", M("Not backed up: it vanished during the backup."))]
