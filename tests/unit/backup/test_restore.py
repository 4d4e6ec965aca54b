"""Restoring: what is asked for comes back, and what exists is kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backup import restore as restore_module
from backup.errors import TargetFailed
from backup.manifest import entries_on
from tests.unit.backup.bench import SET, Log


def fill(folder: Path, count: int = 12, size: int = 3000) -> None:
    for number in range(count):
        (folder / f"f{number:02}").write_bytes(os.urandom(size))


def failed(report: restore_module.RestoreReport) -> set[str]:
    return {Path(path).name for path, _ in report.failures}


def test_a_selection_reads_only_its_frames(bench: Any) -> None:
    """One file of many megabytes of archive is read by reading about its frame."""
    fill(bench.source, 20, 1 << 20)
    bench.back_up(frame_bytes=1 << 20)
    bench.volume.reads.clear()
    bench.restore(select=[str(bench.source / "f17")])
    read = sum(size for name, size in bench.volume.reads if "data-" in name)
    assert 0 < read <= 3 << 20
    assert bench.restored("f17").read_bytes() == (bench.source / "f17").read_bytes()


def test_a_whole_restore_reads_each_byte_once(bench: Any) -> None:
    """In tape order, frame after frame is read without going back."""
    fill(bench.source, 40, 200_000)
    bench.back_up(frame_bytes=500_000)
    bench.volume.reads.clear()
    bench.restore()
    read = sum(size for name, size in bench.volume.reads if "data-" in name)
    assert read <= bench.log.archives[0].bytes


def test_a_selection_takes_exact_paths_and_folders(bench: Any) -> None:
    """A path takes itself and what is in it, not what only begins alike; what is not there is told."""
    (bench.source / "a" / "in").mkdir(parents=True)
    for name in ("a/in/x", "a/y", "ab", "c"):
        (bench.source / name).write_text(name)
    bench.back_up()
    chosen = [f"{bench.source}/a/", f"{bench.source}/c", f"{bench.source}/nothing"]
    report = bench.restore(select=chosen)
    found = {str(path.relative_to(bench.restored())) for path in bench.restored().rglob("*")}
    assert found == {"a", "a/in", "a/in/x", "a/y", "c"}
    assert report.missing == [f"{bench.source}/nothing"]


def test_a_hard_link_alone_has_its_content(bench: Any) -> None:
    """Only the later names are asked for: they have the content, and are one file."""
    fill(bench.source, 1, 9000)
    (bench.source / "sub").mkdir()
    for name in ("sub/y", "sub/z"):
        os.link(bench.source / "f00", bench.source / name)
    os.utime(bench.source / "sub", ns=(0, 12345))
    bench.back_up(archive_bytes=5000)
    report = bench.restore(select=[f"{bench.source}/sub"])
    assert (report.failures, report.files, report.size) == ([], 3, 9000)
    assert bench.restored("sub/y").read_bytes() == (bench.source / "f00").read_bytes()
    assert bench.restored("sub/y").samefile(bench.restored("sub/z"))
    assert bench.restored("sub").stat().st_mtime_ns == 12345


def test_a_sparse_hard_link_alone_has_its_holes(bench: Any) -> None:
    """The content of a link to a sparse file is found with its map."""
    with (bench.source / "a").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    os.link(bench.source / "a", bench.source / "b")
    bench.back_up()
    assert bench.restore(select=[f"{bench.source}/b"]).failures == []
    assert bench.restored("b").read_bytes() == bytes(1 << 20) + b"end"
    assert bench.restored("b").stat().st_blocks * 512 < 1 << 20


def test_a_hard_link_never_goes_to_a_file_that_was_kept(bench: Any) -> None:
    """Where the first name exists with other content, the second gets its own."""
    fill(bench.source, 1)
    os.link(bench.source / "f00", bench.source / "z")
    bench.back_up()
    bench.restored().mkdir(parents=True)
    bench.restored("f00").write_text("mine")
    assert [Path(path).name for path in bench.restore().kept] == ["f00"]
    assert bench.restored("f00").read_text() == "mine"
    assert bench.restored("z").read_bytes() == (bench.source / "z").read_bytes()


def test_what_exists_is_kept_and_recorded(bench: Any) -> None:
    """Files, links and what stands where a folder should be stay as they are, and are in the report."""
    fill(bench.source, 2)
    (bench.source / "folder").mkdir()
    (bench.source / "folder" / "x").write_text("x")
    bench.back_up()
    bench.restored().mkdir(parents=True, mode=0o750)
    bench.restored("f00").write_text("mine")
    bench.restored("f01").symlink_to("/nowhere")
    bench.restored("folder").write_text("not a folder")
    report = bench.restore()
    assert sorted(Path(path).name for path in report.kept) == ["f00", "f01", "folder"]
    assert failed(report) == {"x"}
    assert bench.restored("f00").read_text() == "mine"
    assert bench.restored("f01").readlink() == Path("/nowhere")
    assert bench.restored().stat().st_mode & 0o777 == 0o750


def test_overwrite_replaces_what_exists(bench: Any) -> None:
    """With overwrite the target is as the source was, links and modes included."""
    fill(bench.source, 2)
    os.link(bench.source / "f00", bench.source / "z")
    (bench.source / "folder").mkdir()
    (bench.source / "folder" / "x").write_text("x")
    bench.back_up()
    bench.restore()
    bench.restored("f00").write_text("mine")
    bench.restored("f01").unlink()
    bench.restored("f01").symlink_to("/nowhere")
    for path in bench.restored("folder").iterdir():
        path.unlink()
    bench.restored("folder").rmdir()
    bench.restored("folder").write_text("not a folder")
    report = bench.restore(overwrite=True)
    assert (report.kept, report.failures) == ([], [])
    assert bench.differences() == []
    assert not list(bench.restored().rglob(".tapeline-*"))


def test_overwrite_never_removes_a_folder(bench: Any) -> None:
    """A folder where a file should be stays with all that is in it, and the file is a failure."""
    fill(bench.source, 1)
    bench.back_up()
    bench.restored("f00").mkdir(parents=True)
    bench.restored("f00/precious").write_text("mine")
    assert failed(bench.restore(overwrite=True)) == {"f00"}
    assert bench.restored("f00/precious").read_text() == "mine"


class Stop(OSError):
    """What a caller raises; an OSError, so that it could be taken for one of the disk."""


@pytest.mark.parametrize("callback", ["check", "on_progress"])
def test_what_a_callback_raises_ends_the_restore(bench: Any, callback: str) -> None:
    """The caller's error goes through as it is, and no half of a file is left."""
    fill(bench.source, 3, 3 << 20)
    bench.back_up()
    calls: list[int] = []

    def stop(*_: int) -> None:
        calls.append(1)
        if len(calls) == 7:
            raise Stop

    with pytest.raises(Stop):
        bench.restore(**{callback: stop})
    assert {path.name for path in bench.restored().iterdir()} == {"f00"}


def test_progress_only_grows(bench: Any) -> None:
    """Files and bytes are told as they come, within long files too, and end with the whole."""
    fill(bench.source, 3, 3 << 20)
    bench.back_up()
    steps: list[tuple[int, int]] = []
    report = bench.restore(on_progress=lambda files, size: steps.append((files, size)))
    assert steps == sorted(steps)
    assert len(steps) >= 9
    assert steps[-1] == (report.files, report.size) == (4, 9 << 20)


def test_a_full_disk_ends_the_restore(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that can take no more is one error with a remedy, not one failure for each file."""
    fill(bench.source, 3)
    bench.back_up()

    def no_room(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("backup.receive.os.write", no_room)
    with pytest.raises(TargetFailed, match="No space left"):
        bench.restore()
    assert list(bench.restored().iterdir()) == []


def test_a_target_that_is_a_file_is_told(bench: Any) -> None:
    """The folder to restore into must be one."""
    bench.back_up()
    bench.target.write_text("a file")
    with pytest.raises(TargetFailed):
        bench.restore()


def test_a_file_has_its_name_only_when_it_is_verified(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the content comes, the name does not exist, or is still the old file."""
    fill(bench.source, 1, 3 << 20)
    bench.back_up()
    bench.restored().mkdir(parents=True)
    bench.restored("f00").write_text("old")
    seen: list[str] = []
    bench.restore(
        overwrite=True, check=lambda: seen.append(bench.restored("f00").read_bytes()[:3].decode("latin-1"))
    )
    assert seen.count("old") >= 3
    assert bench.differences() == []


def test_a_link_that_the_target_refuses_is_a_copy(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where hard links are not possible, the content is there twice, and that is told."""
    fill(bench.source, 1)
    os.link(bench.source / "f00", bench.source / "z")
    bench.back_up()

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("backup.within.os.link", refuse)
    report = bench.restore()
    assert report.failures == []
    assert [Path(path).name for path, _ in report.incomplete] == ["z"]
    assert bench.restored("z").read_bytes() == (bench.source / "z").read_bytes()


def test_read_only_folders_are_restored_with_what_is_in_them(bench: Any) -> None:
    """A folder's own mode comes last, so that it can be filled."""
    inner = bench.source / "closed" / "deeper"
    inner.mkdir(parents=True)
    (inner / "x").write_text("x")
    inner.chmod(0o555)
    inner.parent.chmod(0o500)
    bench.back_up()
    try:
        assert bench.restore().failures == []
        assert bench.differences() == []
    finally:
        for folder in (inner.parent, inner, bench.restored("closed"), bench.restored("closed/deeper")):
            folder.chmod(0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_restores_owners(bench: Any) -> None:
    """Owners and the set-user-ID bit come back, on files, folders and links."""
    fill(bench.source, 1)
    (bench.source / "link").symlink_to("x")
    os.chown(bench.source / "f00", 1234, 4321)
    os.chown(bench.source / "link", 1234, 4321, follow_symlinks=False)
    (bench.source / "f00").chmod(0o4755)
    bench.back_up()
    bench.restore()
    status = bench.restored("f00").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1234, 4321, 0o4755)
    assert bench.differences() == []


def test_archives_that_do_not_count_are_passed_over(bench: Any) -> None:
    """Of a set that was resumed and cut off again, each path is restored once."""
    fill(bench.source)
    for checks in (6, 9):
        log = Log(on_check=_stop_after(checks))
        with pytest.raises(Stop):
            bench.back_up(archive_bytes=5_000, log=log)
    paths = [entry.path for entry in entries_on(bench.volume, SET)]
    assert paths == [entry.path for entry in log.entries]
    assert len(paths) == len(set(paths)) > 2


def _stop_after(checks: int) -> Callable[[int], None]:
    def check(count: int) -> None:
        if count > checks:
            raise Stop

    return check
