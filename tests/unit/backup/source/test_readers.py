"""Processes that read ahead: what they pack is what would have been written without them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from backup.source.pack import SMALL
from backup.source.readahead import pool
from tests.mounts import needs_fuse, shared
from tests.unit.backup.rig import Log, Rig


@pytest.fixture
def tree(rig: Rig) -> Path:
    """More small files than a batch holds, among all that is not one of them."""
    for folder in range(4):
        inside = rig.source / f"folder {folder}"
        inside.mkdir()
        for number in range(40):
            (inside / f"{number:02d}").write_bytes(bytes([number]) * (number * 997))
        (inside / "large").write_bytes(os.urandom(SMALL + folder))
        (inside / "as large as can be").write_bytes(os.urandom(SMALL))
        (inside / "link").symlink_to("00")
        (inside / "second name").hardlink_to(inside / "07")
        os.mkfifo(inside / "fifo")
        (inside / '名 with\nall \\ "kinds" of signs').write_text("x")
        (inside / ("long " * 40)).write_text("y")
        Path(os.fsdecode(os.fsencode(inside) + b"/\xff\xfe")).write_text("z")
        os.setxattr(inside / "08", "user.comment", b"\0\xff")
        with (inside / "hole").open("wb") as file:
            file.truncate(100_000)
    (rig.source / "empty").touch()
    return rig.source


@pytest.fixture(autouse=True)
def even_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "FEW", 1)


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.usefixtures("tree")
def test_the_set_is_the_same_to_the_byte(rig: Rig, compression: str) -> None:
    archives = []
    for count in (0, 2, 16):
        rig.back_up(readers=count, compression=compression, archive_bytes=2 << 20, frame_bytes=64 << 10)
        folder = rig.file("")
        archives.append({path.name: path.read_bytes() for path in sorted(folder.glob("data-*"))})
        folder.rename(rig.volume.root / f"with {count}")
    assert len(archives[0]) > 1
    # Frames of a batch may be longer by a few files; uncompressed, an archive is one and the same.
    if compression == "none":
        assert archives[0] == archives[1] == archives[2]


@pytest.mark.usefixtures("tree")
def test_what_readers_packed_is_restored(rig: Rig) -> None:
    summary = rig.back_up(readers=2)
    report = rig.restore()
    assert rig.differences() == []
    assert report.failures == []
    assert (report.files, summary.warnings) == (summary.files, 0)
    assert summary.size == sum(entry.size for entry in rig.log.entries if entry.type.value == "file")


@pytest.mark.usefixtures("tree")
def test_killed_readers_cost_nothing_but_time(rig: Rig) -> None:
    """Whoever kills them, at whatever moment: the one that writes reads for himself."""
    killed: list[int] = []

    class Killing(Log):
        def progress(self, files: int, size: int) -> None:
            super().progress(files, size)
            for child in psutil.Process().children():
                child.kill()
                killed.append(child.pid)

    rig.back_up(readers=2, log=Killing(), frame_bytes=1)
    rig.restore()
    assert killed
    assert rig.differences() == []


def test_none_outlives_the_backup(rig: Rig, tree: Path) -> None:
    class Failing(Log):
        def progress(self, files: int, size: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rig.back_up(tree, readers=2, log=Failing())
    assert psutil.Process().children() == []


def _vanish(path: Path) -> None:
    path.unlink()


def _grow(path: Path) -> None:
    path.write_bytes(b"more" * SMALL)


def _shrink(path: Path) -> None:
    path.write_bytes(b"")


def _turn_into_a_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)  # the path of a socket must be short
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


def _turn_into_a_fifo(path: Path) -> None:
    """Opened, it would hang whoever reads; or end whoever writes to it."""
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("change", "warnings"),
    [(_vanish, 1), (_grow, 0), (_shrink, 0), (_turn_into_a_socket, 1), (_turn_into_a_fifo, 0)],
)
def test_a_file_that_changed_since_the_scan(
    rig: Rig, tree: Path, change: Callable[[Path], None], warnings: int
) -> None:
    """It is stored as it is then, or passed over with a warning; its neighbours are whole."""
    changed = tree / "folder 2" / "11"

    class Changing(Log):
        def planned(self, files: int, size: int, left_out: int) -> None:
            super().planned(files, size, left_out)
            change(changed)

    log = Changing()
    rig.back_up(readers=1, log=log)
    rig.restore()
    assert [path for path, _ in log.warnings] == [str(changed)] * warnings
    assert rig.differences() == []


@pytest.mark.parametrize(
    ("seconds", "least", "readers"),
    [
        (0.0, 2, 2),
        (0.00019, 4, 4),
        (0.0002, 2, 16),
        (0.00099, 2, 16),
        (0.001, 2, 32),
        (0.5, 4, 32),
        (0.5, 0, 0),
    ],
)
def test_how_many_readers_are_worth_it(seconds: float, least: int, readers: int) -> None:
    """A slow share gets many; a local disk as many as there are processors, and Windows none."""
    assert pool.readers_for(seconds, least) == readers


@needs_fuse
@pytest.mark.parametrize(("delay", "readers"), [(0.005, 32), (None, 2)])
def test_the_latency_of_a_share_is_measured_at_the_start(
    rig: Rig, tmp_path: Path, delay: float | None, readers: int
) -> None:
    """32 readers are threads of four processes; all of it is on tape. A local folder is not measured."""
    for number in range(300):
        (rig.source / f"{number}").write_bytes(b"%d" % number)
    point = tmp_path / "share"
    processes: set[int] = set()

    class Counting(type(rig.log)):  # type: ignore[misc]
        def progress(self, files: int, size: int) -> None:
            super().progress(files, size)
            processes.update(child.pid for child in psutil.Process().children())

    rig.log = Counting()
    if delay is None:
        summary = rig.back_up(rig.source, readers=2, more_readers=True, frame_bytes=1)
        assert summary.latency == 0
        assert len(processes) == 2
    else:
        with shared(rig.source, point, delay=delay):
            summary = rig.back_up(point, readers=2, more_readers=True, frame_bytes=1)
        assert summary.latency >= delay
        assert len(processes) == 4 + 1  # And the one that serves the share.
    assert summary.readers == readers
    assert (summary.files, summary.warnings) == (301, 0)
