"""A source that is read from its snapshot: its content is from there, its names are its own."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from backup import elsewhere
from backup.compare import compare_trees
from backup.elsewhere import ReadFrom
from backup.errors import SourceUnusable
from backup.source.readahead import pool
from backup.write import write_set
from tests.unit.backup.rig import SET, Rig, request

if sys.platform == "win32":
    pytest.skip("links and fifos", allow_module_level=True)


class Filled(Exception):
    """A snapshot is not whole any more."""


def never(_about: str, seconds: float) -> None:
    assert seconds < 60


def rule(path: Path, folder: Path) -> ReadFrom:
    return ReadFrom(os.fsencode(path), os.fsencode(folder))


def grow(folder: Path) -> None:
    """Of everything that is read in its own way."""
    for number in range(60):
        (folder / f"{number:02d}").write_bytes(bytes([number]) * 3000)
    (folder / "large").write_bytes(os.urandom(3 << 20))
    (folder / "below" / "deeper").mkdir(parents=True)
    (folder / "below" / "deeper" / "file").write_text("as it was")
    (folder / "link").symlink_to("below/deeper")
    (folder / "second").hardlink_to(folder / "large")
    os.mkfifo(folder / "fifo")
    with (folder / "hole").open("wb") as file:
        file.truncate(9_000_000)
        file.write(b"end")


@pytest.fixture
def snapshot(rig: Rig, tmp_path: Path) -> Path:
    """What was in the source; since then everything in it has changed."""
    folder = tmp_path / "snapshot"
    folder.mkdir()
    grow(folder)
    (rig.source / "new").write_text("since then")
    (rig.source / "07").write_bytes(b"overwritten" * 100)
    for root, name in ((folder, "was"), (rig.source, "is")):
        (root / "same").mkdir()
        (root / "same" / name).write_text("in a folder of the same name")
    (rig.source / "large").write_text("overwritten")
    (rig.source / "below").write_text("was a folder")
    (rig.source / "link").mkdir()
    return folder


def back_up(rig: Rig, wait: Any, **how: Any) -> Any:
    return write_set(rig.volume, request(rig.source, **how), rig.log, rig.spool, wait)


@pytest.mark.parametrize("wait", [None, never])
@pytest.mark.parametrize("readers", [0, 2])
def test_the_content_is_that_of_the_snapshot(
    rig: Rig, snapshot: Path, monkeypatch: pytest.MonkeyPatch, wait: Any, readers: int
) -> None:
    """Whichever process reads it; and afterwards this process reads the source itself again."""
    monkeypatch.setattr(pool, "FEW", 1)
    back_up(rig, wait, readers=readers, elsewhere=(rule(rig.source, snapshot),))
    assert not rig.log.warnings
    assert {entry.path.startswith(str(rig.source)) for entry in rig.log.entries} == {True}
    assert not any(str(snapshot) in entry.path for entry in rig.log.entries)
    rig.restore()
    assert compare_trees(snapshot, rig.restored()) == []
    assert elsewhere.of(os.fsencode(rig.source)) == os.fsencode(rig.source)


def test_a_killed_process_does_not_read_the_source_itself(rig: Rig, snapshot: Path) -> None:
    """The process that reads is started anew, with the same rule."""
    for name in ("y", "z"):
        (snapshot / name).write_bytes(os.urandom(20 << 20))
        (rig.source / name).write_bytes(b"overwritten")
    killed: list[int] = []

    class Kills(type(rig.log)):  # type: ignore[misc]
        def progress(self, files: int, size: int) -> None:
            super().progress(files, size)
            if size > 22 << 20 and not killed:
                killed.extend(child.pid for child in psutil.Process().children())
                for pid in killed:
                    os.kill(pid, signal.SIGKILL)

    rig.log = Kills()
    back_up(rig, never, elsewhere=(rule(rig.source, snapshot),))
    assert killed
    rig.restore()
    assert (rig.restored() / "z").read_bytes() == (snapshot / "z").read_bytes()


@pytest.mark.parametrize("wait", [None, never])
def test_what_its_snapshot_does_not_have(rig: Rig, snapshot: Path, wait: Any) -> None:
    """A file system below the source has a rule of its own: it is read as it is."""
    (snapshot / "mount").mkdir()
    (rig.source / "mount").mkdir()
    (rig.source / "mount" / "file").write_text("live")
    rules = (rule(rig.source, snapshot), rule(rig.source / "mount", rig.source / "mount"))
    back_up(rig, wait, elsewhere=rules)
    rig.restore()
    assert (rig.restored() / "mount" / "file").read_text() == "live"
    assert (rig.restored() / "below" / "deeper" / "file").read_text() == "as it was"
    found = rig.entries()["mount"]
    assert found.inode == (rig.source / "mount").stat().st_ino


def test_a_long_path_below_a_snapshot(rig: Rig, snapshot: Path) -> None:
    """The path of the source may be short enough for the system where that of the snapshot is not."""
    folder, name = os.fsencode(snapshot), b"n" * 250
    at = os.open(folder, os.O_RDONLY)
    for _ in range(15):
        os.mkdir(name, dir_fd=at)
        at = os.open(name, os.O_RDONLY, dir_fd=at)
    os.close(os.open(b"file", os.O_WRONLY | os.O_CREAT, dir_fd=at))
    where = snapshot.parent / ("s" * 200) / ("t" * 200)
    where.parent.mkdir()
    snapshot.rename(where)
    back_up(rig, None, elsewhere=(rule(rig.source, where),))
    assert not rig.log.warnings
    assert any(entry.path.endswith("n/file") for entry in rig.log.entries)


def test_a_link_that_leads_elsewhere_now(rig: Rig, snapshot: Path, tmp_path: Path) -> None:
    """Otherwise the new target would be read as it is, and nobody would know."""
    link = tmp_path / "link"
    link.symlink_to(rig.source)
    other = tmp_path / "other"
    other.mkdir()
    rules = (rule(rig.source, snapshot),)
    link.unlink()
    link.symlink_to(other)
    with pytest.raises(SourceUnusable, match="of which there is a snapshot"):
        write_set(rig.volume, request(link, elsewhere=rules), rig.log, rig.spool)
    assert list(rig.volume.root.rglob("*")) == []


@pytest.mark.parametrize("good", [0, 1, 2])
def test_a_snapshot_that_does_not_stay_whole(rig: Rig, snapshot: Path, good: int) -> None:
    """What was read since nobody knows when does not count, and the set of two archives is not complete."""
    asked: list[int] = []

    def still_whole() -> None:
        asked.append(len(asked))
        if len(asked) > good:
            raise Filled

    rules = (rule(rig.source, snapshot),)
    with pytest.raises(Filled):
        back_up(rig, None, elsewhere=rules, still_whole=still_whole, archive_bytes=2 << 20)
    assert len(rig.log.archives) == good
    assert not rig.file("complete.json").exists()


def test_the_last_archive_is_checked_and_the_set_once_more(rig: Rig, snapshot: Path) -> None:
    """So also a set whose last archive was whole fails if the snapshot is gone by then."""
    asked: list[bool] = []
    rules = (rule(rig.source, snapshot),)
    back_up(rig, None, elsewhere=rules, still_whole=lambda: asked.append(rig.file("complete.json").exists()))
    assert asked == [False] * (len(rig.log.archives) + 1)
    assert rig.file("complete.json").exists()


def test_an_increment_of_another_snapshot_reads_nothing_anew(rig: Rig, snapshot: Path) -> None:
    """Its facts are those that the files have, wherever they lie: only what has changed is stored."""
    (snapshot / "second").unlink()
    back_up(rig, None, elsewhere=(rule(rig.source, snapshot),))
    rows = sorted(_row(entry) for entry in rig.log.entries)
    later = snapshot.parent / "later"
    snapshot.rename(later)
    (later / "07").write_text("changed")
    shutil.rmtree(rig.volume.root / "sets" / SET)
    log = type(rig.log)()
    rig.log = log
    how = {"type": "incremental", "parent": "earlier", "known": rows}
    back_up(rig, None, elsewhere=(rule(rig.source, later),), **how)
    assert [entry.path for entry in log.entries if entry.type.value == "file"] == [str(rig.source / "07")]


def _row(entry: Any) -> bytes:
    facts = (entry.path, "\\N", entry.type.value, entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode)
    return "\t".join(map(str, (*facts, "f"))).encode() + b"\n"
