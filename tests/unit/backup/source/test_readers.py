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
    for count in (0, 2):
        rig.back_up(readers=count, compression=compression, archive_bytes=2 << 20, frame_bytes=64 << 10)
        folder = rig.file("")
        archives.append({path.name: path.read_bytes() for path in sorted(folder.glob("data-*"))})
        folder.rename(rig.volume.root / f"with {count}")
    assert len(archives[0]) > 1
    # Frames of a batch may be longer by a few files; uncompressed, an archive is one and the same.
    if compression == "none":
        assert archives[0] == archives[1]


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
