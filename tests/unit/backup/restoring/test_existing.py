"""What is in the target already: kept, replaced or left beside; and what counts as restored."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from backup import restore as restore_module
from backup.format.manifest import entries_on
from tests.unit.backup.restoring.test_restore import failed, fill
from tests.unit.backup.rig import SET


def in_steps(rig: Any, until: int) -> tuple[restore_module.RestoreReport, int, list[int]]:
    """Restore so many archives of the set, as a run does; what came of it, what was kept, what was read."""
    state = rig.spool / "there.sqlite"
    numbers = [archive.number for archive in rig.log.archives][:until]
    with restore_module.Restoration(rig.target, state=state) as restoration:
        read = [number for number in numbers if not restoration.is_done(SET, number)]
        for number in read:
            found = entries_on(rig.volume, SET, archives=[number])
            restoration.take(rig.volume, SET, found, number)
            restoration.archive_done()
        return restoration.finish(), restoration.kept, read


def test_what_exists_is_kept_and_recorded(rig: Any) -> None:
    """Files, links and what stands where a folder should be stay as they are; what is not as in the backup is
    named."""
    fill(rig.source, 2)
    (rig.source / "folder").mkdir()
    (rig.source / "folder" / "x").write_text("x")
    rig.back_up()
    rig.restored().mkdir(parents=True, mode=0o750)
    rig.restored("f00").write_text("mine")
    rig.restored("f01").symlink_to("/nowhere")
    rig.restored("folder").write_text("not a folder")
    report = rig.restore()
    assert sorted(Path(path).name for path, _ in report.differing) == ["f00", "f01", "folder"]
    assert report.kept == []
    assert failed(report) == {"x"}
    assert rig.restored("f00").read_text() == "mine"
    assert rig.restored("f01").readlink() == Path("/nowhere")
    assert rig.restored().stat().st_mode & 0o777 == 0o750


def test_what_exists_is_compared_with_the_backup(rig: Any) -> None:
    """Restored twice, all is as in the backup, holes, links and fifos too; then one byte of each differs."""
    fill(rig.source, 1)
    os.link(rig.source / "f00", rig.source / "f01")
    (rig.source / "link").symlink_to("there")
    os.mkfifo(rig.source / "pipe")
    with (rig.source / "sparse").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
        file.truncate(3 << 20)
    rig.back_up()
    rig.restore()
    again = rig.restore()
    assert sorted(Path(path).name for path in again.kept) == ["f00", "f01", "link", "pipe", "sparse"]
    assert (again.differing, again.failures) == ([], [])

    with rig.restored("f00").open("r+b") as file:
        file.write(bytes([file.read(1)[0] ^ 1]) if file.seek(0) else bytes(1))
    with rig.restored("sparse").open("r+b") as file:
        file.seek(5000)
        file.write(b"x")
    rig.restored("link").unlink()
    rig.restored("link").symlink_to("elsewhere")
    rig.restored("pipe").unlink()
    rig.restored("pipe").write_bytes(b"")
    changed = rig.restore()
    names = sorted(Path(path).name for path, _ in changed.differing)
    assert names == ["f00", "f01", "link", "pipe", "sparse"]
    assert changed.kept == []


@pytest.mark.parametrize(
    ("lost", "again"), [("nothing", []), ("all", [1, 2]), ("a file", [1]), ("a folder", [2])]
)
def test_what_is_counted_is_in_the_target_now(rig: Any, lost: str, again: list[int]) -> None:
    """Broken off after two archives, and the target has lost something since: in the end all is there, and
    counted once."""
    (rig.source / "folder").mkdir()
    fill(rig.source, 4)
    fill(rig.source / "folder", 6)
    rig.back_up(archive_bytes=18_000)
    last = len(rig.log.archives)
    assert last >= 3
    in_steps(rig, 2)
    if lost == "all":
        rig.target.rename(rig.target.with_name("moved"))
    elif lost == "a file":
        rig.restored("f00").unlink()
    elif lost == "a folder":
        shutil.rmtree(rig.restored("folder"))
    report, kept, read = in_steps(rig, last)
    assert read == [*again, *range(3, last + 1)]
    assert (report.failures, report.differing, rig.differences()) == ([], [], [])
    # A folder that is there is filled, and counts as one; the source's own parents are no entries.
    assert report.files + kept == 12
    assert report.size + 3000 * kept == 30_000


def test_a_file_that_was_changed_after_it_was_restored_is_not_counted(rig: Any) -> None:
    """It is compared again, named, and left as it is."""
    fill(rig.source, 6)
    rig.back_up(archive_bytes=9_000)
    in_steps(rig, 2)
    rig.restored("f00").write_text("mine")
    report, kept, _ = in_steps(rig, len(rig.log.archives))
    assert [Path(path).name for path, _ in report.differing] == ["f00"]
    assert report.files + kept == 6
    assert rig.restored("f00").read_text() == "mine"


def test_overwrite_replaces_what_exists(rig: Any) -> None:
    """With overwrite the target is as the source was, links and modes included."""
    fill(rig.source, 2)
    os.link(rig.source / "f00", rig.source / "z")
    (rig.source / "folder").mkdir()
    (rig.source / "folder" / "x").write_text("x")
    rig.back_up()
    rig.restore()
    rig.restored("f00").write_text("mine")
    rig.restored("f01").unlink()
    rig.restored("f01").symlink_to("/nowhere")
    for path in rig.restored("folder").iterdir():
        path.unlink()
    rig.restored("folder").rmdir()
    rig.restored("folder").write_text("not a folder")
    report = rig.restore(overwrite=True)
    assert (report.kept, report.failures) == ([], [])
    assert rig.differences() == []
    assert not list(rig.restored().rglob(".tapeline-*"))


def test_overwrite_never_removes_a_folder(rig: Any) -> None:
    """A folder where a file should be stays with all that is in it, and the file is a failure."""
    fill(rig.source, 1)
    rig.back_up()
    rig.restored("f00").mkdir(parents=True)
    rig.restored("f00/precious").write_text("mine")
    assert failed(rig.restore(overwrite=True)) == {"f00"}
    assert rig.restored("f00/precious").read_text() == "mine"


def test_the_backup_is_put_beside_a_different_file(rig: Any) -> None:
    """Under the next free name, once: restored again, it is there already. What is the same gets no copy, no
    existing file is touched, and names of one file stay one file."""
    fill(rig.source, 3)
    (rig.source / "folder").mkdir()
    (rig.source / "folder" / "x.tar.gz").write_text("x")
    (rig.source / ".hidden").write_text("h")
    os.link(rig.source / "f02", rig.source / "z")
    rig.back_up()
    rig.restored().mkdir(parents=True)
    mine = {"f00": "mine", "f00.restored-1": "mine too", ".hidden": "mine", "f02": "mine"}
    for name, content in mine.items():
        rig.restored(name).write_text(content)
    shutil.copy(rig.source / "f01", rig.restored("f01"))
    rig.restored("folder").mkdir()
    rig.restored("folder/x.tar.gz").mkdir()
    report = rig.restore(beside=True)
    assert (report.failures, report.differing) == ([], [])
    assert {Path(path).name: name for path, name in report.beside} == {
        "f00": "f00.restored-2", ".hidden": ".hidden.restored-1", "f02": "f02.restored-1",
        "x.tar.gz": "x.tar.restored-1.gz",
    }  # fmt: skip
    assert {name: rig.restored(name).read_text() for name in mine} == mine
    assert rig.restored("f00.restored-2").read_bytes() == (rig.source / "f00").read_bytes()
    assert rig.restored("folder/x.tar.restored-1.gz").read_text() == "x"
    assert rig.restored("f02.restored-1").samefile(rig.restored("z"))
    again = rig.restore(beside=True)
    assert (again.beside, again.differing, again.failures) == ([], [], [])
    assert len(again.kept) == 6
