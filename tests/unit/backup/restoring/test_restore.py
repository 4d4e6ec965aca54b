"""Restoring: what is asked for comes back, and what exists is kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backup import restore as restore_module
from backup.errors import TargetFailed
from backup.format.manifest import entries_on
from tests.unit.backup.rig import SET, Log


def fill(folder: Path, count: int = 12, size: int = 3000) -> None:
    for number in range(count):
        (folder / f"f{number:02}").write_bytes(os.urandom(size))


def failed(report: restore_module.RestoreReport) -> set[str]:
    return {Path(path).name for path, _ in report.failures}


def test_a_selection_reads_only_its_frames(rig: Any) -> None:
    """One file of many megabytes of archive is read by reading about its frame."""
    fill(rig.source, 20, 1 << 20)
    rig.back_up(frame_bytes=1 << 20)
    rig.volume.reads.clear()
    rig.restore(select=[str(rig.source / "f17")])
    read = sum(size for name, size in rig.volume.reads if "data-" in name)
    assert 0 < read <= 3 << 20
    assert rig.restored("f17").read_bytes() == (rig.source / "f17").read_bytes()


def test_a_whole_restore_reads_each_byte_once(rig: Any) -> None:
    """In tape order, frame after frame is read without going back."""
    fill(rig.source, 40, 200_000)
    rig.back_up(frame_bytes=500_000)
    rig.volume.reads.clear()
    rig.restore()
    read = sum(size for name, size in rig.volume.reads if "data-" in name)
    assert read <= rig.log.archives[0].bytes


def test_a_selection_takes_exact_paths_and_folders(rig: Any) -> None:
    """A path takes itself and what is in it, not what only begins alike; what is not there is told."""
    (rig.source / "a" / "in").mkdir(parents=True)
    for name in ("a/in/x", "a/y", "ab", "c"):
        (rig.source / name).write_text(name)
    rig.back_up()
    chosen = [f"{rig.source}/a/", f"{rig.source}/c", f"{rig.source}/nothing"]
    report = rig.restore(select=chosen)
    found = {str(path.relative_to(rig.restored())) for path in rig.restored().rglob("*")}
    assert found == {"a", "a/in", "a/in/x", "a/y", "c"}
    assert report.missing == [f"{rig.source}/nothing"]


def test_a_hard_link_alone_has_its_content(rig: Any) -> None:
    """Only the later names are asked for: they have the content, and are one file."""
    fill(rig.source, 1, 9000)
    (rig.source / "sub").mkdir()
    for name in ("sub/y", "sub/z"):
        os.link(rig.source / "f00", rig.source / name)
    os.utime(rig.source / "sub", ns=(0, 12345))
    rig.back_up(archive_bytes=5000)
    report = rig.restore(select=[f"{rig.source}/sub"])
    assert (report.failures, report.files, report.size) == ([], 3, 9000)
    assert rig.restored("sub/y").read_bytes() == (rig.source / "f00").read_bytes()
    assert rig.restored("sub/y").samefile(rig.restored("sub/z"))
    assert rig.restored("sub").stat().st_mtime_ns == 12345


def test_a_sparse_hard_link_alone_has_its_holes(rig: Any) -> None:
    """The content of a link to a sparse file is found with its map."""
    with (rig.source / "a").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    os.link(rig.source / "a", rig.source / "b")
    rig.back_up()
    assert rig.restore(select=[f"{rig.source}/b"]).failures == []
    assert rig.restored("b").read_bytes() == bytes(1 << 20) + b"end"
    assert rig.restored("b").stat().st_blocks * 512 < 1 << 20


def test_a_hard_link_never_goes_to_a_file_that_was_kept(rig: Any) -> None:
    """Where the first name exists with other content, the second gets its own."""
    fill(rig.source, 1)
    os.link(rig.source / "f00", rig.source / "z")
    rig.back_up()
    rig.restored().mkdir(parents=True)
    rig.restored("f00").write_text("mine")
    assert [Path(path).name for path, _ in rig.restore().differing] == ["f00"]
    assert rig.restored("f00").read_text() == "mine"
    assert rig.restored("z").read_bytes() == (rig.source / "z").read_bytes()


def test_what_is_restored_is_on_the_disk_before_its_archive_is_done(
    rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for many files; and an error of the disk ends the restore before the archive counts."""
    fill(rig.source, 3)
    rig.back_up()
    state = rig.spool / "there.sqlite"
    synced: list[bool] = []

    def fail(_folder: int) -> None:
        synced.append(rig.restored("f02").exists())
        raise OSError(5, "Input/output error")

    with restore_module.Restoration(rig.target, state=state) as restoration:
        restoration.take(rig.volume, SET, entries_on(rig.volume, SET), 1)
        monkeypatch.setattr("backup.restoring.dirfd.sync", fail)
        with pytest.raises(TargetFailed):
            restoration.archive_done()
    assert synced == [True]
    with restore_module.Restoration(rig.target, state=state) as restoration:
        assert not restoration.is_done(SET, 1)


class Stop(OSError):
    """What a caller raises; an OSError, so that it could be taken for one of the disk."""


@pytest.mark.parametrize("callback", ["check", "on_progress"])
def test_what_a_callback_raises_ends_the_restore(rig: Any, callback: str) -> None:
    """The caller's error goes through as it is, and no half of a file is left."""
    fill(rig.source, 3, 3 << 20)
    rig.back_up()
    calls: list[int] = []

    def stop(*_: int) -> None:
        calls.append(1)
        if len(calls) == 7:
            raise Stop

    with pytest.raises(Stop):
        rig.restore(**{callback: stop})
    assert {path.name for path in rig.restored().iterdir()} == {"f00"}


def test_progress_only_grows(rig: Any) -> None:
    """Files and bytes are told as they come, within long files too, and end with the whole."""
    fill(rig.source, 3, 3 << 20)
    rig.back_up()
    steps: list[tuple[int, int]] = []
    report = rig.restore(on_progress=lambda files, size: steps.append((files, size)))
    assert steps == sorted(steps)
    assert len(steps) >= 9
    assert steps[-1] == (report.files, report.size) == (4, 9 << 20)


def test_a_full_disk_ends_the_restore(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that can take no more is one error with a remedy, not one failure for each file."""
    fill(rig.source, 3)
    rig.back_up()

    def no_room(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("backup.restoring.write_file.os.write", no_room)
    with pytest.raises(TargetFailed, match="No space left"):
        rig.restore()
    assert list(rig.restored().iterdir()) == []


def test_a_target_that_is_a_file_is_told(rig: Any) -> None:
    """The folder to restore into must be one."""
    rig.back_up()
    rig.target.write_text("a file")
    with pytest.raises(TargetFailed):
        rig.restore()


def test_a_file_has_its_name_only_when_it_is_verified(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the content comes, the name does not exist, or is still the old file."""
    fill(rig.source, 1, 3 << 20)
    rig.back_up()
    rig.restored().mkdir(parents=True)
    rig.restored("f00").write_text("old")
    seen: list[str] = []
    rig.restore(
        overwrite=True, check=lambda: seen.append(rig.restored("f00").read_bytes()[:3].decode("latin-1"))
    )
    assert seen.count("old") >= 3
    assert rig.differences() == []


def test_a_link_that_the_target_refuses_is_a_copy(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where hard links are not possible, the content is there twice, and that is told."""
    fill(rig.source, 1)
    os.link(rig.source / "f00", rig.source / "z")
    rig.back_up()

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("backup.restoring.dirfd.os.link", refuse)
    report = rig.restore()
    assert report.failures == []
    assert [Path(path).name for path, _ in report.incomplete] == ["z"]
    assert rig.restored("z").read_bytes() == (rig.source / "z").read_bytes()


def test_read_only_folders_are_restored_with_what_is_in_them(rig: Any) -> None:
    """A folder's own mode comes last, so that it can be filled."""
    inner = rig.source / "closed" / "deeper"
    inner.mkdir(parents=True)
    (inner / "x").write_text("x")
    inner.chmod(0o555)
    inner.parent.chmod(0o500)
    rig.back_up()
    try:
        assert rig.restore().failures == []
        assert rig.differences() == []
    finally:
        for folder in (inner.parent, inner, rig.restored("closed"), rig.restored("closed/deeper")):
            folder.chmod(0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_restores_owners(rig: Any) -> None:
    """Owners and the set-user-ID bit come back, on files, folders and links."""
    fill(rig.source, 1)
    (rig.source / "link").symlink_to("x")
    os.chown(rig.source / "f00", 1234, 4321)
    os.chown(rig.source / "link", 1234, 4321, follow_symlinks=False)
    (rig.source / "f00").chmod(0o4755)
    rig.back_up()
    rig.restore()
    status = rig.restored("f00").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1234, 4321, 0o4755)
    assert rig.differences() == []


def test_archives_that_do_not_count_are_passed_over(rig: Any) -> None:
    """Of a set that was resumed and cut off again, each path is restored once."""
    fill(rig.source)
    for checks in (6, 9):
        log = Log(on_check=_stop_after(checks))
        with pytest.raises(Stop):
            rig.back_up(archive_bytes=5_000, log=log)
    paths = [entry.path for entry in entries_on(rig.volume, SET)]
    assert paths == [entry.path for entry in log.entries]
    assert len(paths) == len(set(paths)) > 2


def _stop_after(checks: int) -> Callable[[int], None]:
    def check(count: int) -> None:
        if count > checks:
            raise Stop

    return check
