"""Files that are hard to come by: paths longer than the system takes, and what another program holds."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.entry import FileType
from backup.request import Excludes
from backup.source import reach

if sys.platform == "win32":
    pytest.skip("there are no folders by descriptor", allow_module_level=True)

LEVEL = b"d" * 200


def deep(root: Path, levels: int, name: bytes = LEVEL) -> int:
    """A folder so many levels below another; returns its descriptor."""
    held = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=held)
        below = os.open(name, os.O_RDONLY, dir_fd=held)
        os.close(held)
        held = below
    return held


def put(folder: int, name: str, content: bytes, at: int = 0) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=folder)
    os.lseek(fd, at, os.SEEK_SET)
    os.write(fd, content)
    os.utime(fd, ns=(0, 1_234_567_890_123_456_789))
    os.close(fd)


@pytest.fixture
def deep_bench(rig: Any) -> Any:
    """A source whose lowest folder, of a path of 5,000 bytes, holds one file of each kind."""
    lowest = deep(rig.source, 25)
    put(lowest, "small", b"small")
    put(lowest, "large", os.urandom(500_000))
    put(lowest, "sparse", b"end", at=3 << 20)
    os.link("large", "other name", src_dir_fd=lowest, dst_dir_fd=lowest)
    os.symlink("s" * 3000, "link", dir_fd=lowest)
    os.mkfifo("fifo", dir_fd=lowest)
    put(lowest, "\udcff", b"a name that is no text")
    os.mkdir("folder", 0o750, dir_fd=lowest)
    if sys.platform == "linux":
        os.setxattr(f"/proc/self/fd/{lowest}/folder", "user.mark", b"value")
    os.close(lowest)
    return rig


@pytest.mark.parametrize("readers", [0, 2])
@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_a_path_of_any_length_comes_back(
    deep_bench: Any, monkeypatch: pytest.MonkeyPatch, readers: int, compression: str
) -> None:
    """Files of each kind, links, holes and attributes, in folders that no path of the system reaches."""
    monkeypatch.setattr("backup.source.readahead.pool.FEW", 1)
    summary = deep_bench.back_up(readers=readers, compression=compression, archive_bytes=100_000)
    assert (summary.warnings, summary.files) == (0, 34)
    assert max(len(entry.path) for entry in deep_bench.entries().values()) > 5000
    report = deep_bench.restore()
    assert (report.failures, report.incomplete, report.files) == ([], [], 34)
    assert deep_bench.differences() == []
    again = deep_bench.restore()
    assert (again.differing, len(again.kept)) == ([], 7)


@pytest.fixture
def in_time() -> Iterator[None]:
    """What stands still for a minute fails."""

    def over(*_: object) -> None:
        raise AssertionError("it stands still")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize("readers", [0, 1])
def test_a_path_longer_than_half_a_pipe(rig: Any, monkeypatch: pytest.MonkeyPatch, readers: int) -> None:
    """Whoever reads ahead is not asked for it: two such questions wait while nobody takes his answer."""
    monkeypatch.setattr("backup.source.readahead.pool.FEW", 1)
    for number in range(31):
        (rig.source / f"a{number:02d}").write_bytes(b"s" * 60_000)
    held = deep(rig.source, 132, b"d" * 255)
    for number in range(5):
        put(held, f"small {number}", b"s" * 60_000)
    os.close(held)
    assert rig.back_up(readers=readers).warnings == 0
    assert rig.restore().failures == []
    assert rig.differences() == []


def test_a_long_file_of_a_long_path_is_cut(deep_bench: Any) -> None:
    """Its pieces are put together where it was."""
    deep_bench.back_up(archive_bytes=20_000)
    assert any(entry.type is FileType.PIECE for entry in deep_bench.log.entries)
    assert deep_bench.restore().failures == []
    assert deep_bench.differences() == []


def test_a_difference_is_seen_however_deep(deep_bench: Any) -> None:
    """The comparison that the tests above rely on."""
    deep_bench.back_up()
    deep_bench.restore()
    path = os.fsencode(deep_bench.restored()) + (b"/" + LEVEL) * 25 + b"/small"
    fd = reach.opened(path, os.O_WRONLY)
    os.write(fd, b"SMALL")
    os.close(fd)
    assert {found.what for found in deep_bench.differences()} == {"content", "mtime"}


def test_a_large_folder_of_a_long_path(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """More names than a listing has are gone through part by part there, too."""
    monkeypatch.setattr("backup.source.dirlist.MAX", 3)
    monkeypatch.setattr("backup.source.scan.RUN", 2)
    lowest = deep(rig.source, 22)
    for number in range(9):
        put(lowest, f"f{number}", b"x")
    os.close(lowest)
    assert rig.back_up().files == 1 + 22 + 9
    rig.restore()
    assert rig.differences() == []


@given(st.lists(st.integers(1, 255), min_size=1, max_size=80))
def test_no_step_is_longer_than_the_system_takes(lengths: list[int]) -> None:
    """However the names of a path are, each step is some of them, and together they are all."""
    rest = b"/".join(b"n" * length for length in lengths)
    steps = []
    while len(rest) > reach.STRIDE:
        step, rest = reach._divided(rest)
        assert 0 < len(step) < reach.STRIDE
        steps.append(step)
    assert b"/".join([*steps, rest]) == b"/".join(b"n" * length for length in lengths)


HOLDER = """
import fcntl, os, signal, sys, time
fd = os.open(sys.argv[1], os.O_RDWR)
def let_go(*_):
    if sys.argv[2] == "keeps":
        return
    time.sleep(0.3)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
signal.signal(signal.SIGIO, let_go)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
while True:
    time.sleep(60)
"""


@contextmanager
def leased(path: Path, how: str) -> Iterator[None]:
    """A file server's lease on a file, which it gives back when it is asked, or ``keeps``."""
    command = [sys.executable, "-c", HOLDER, str(path), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout
            if holder.stdout.readline() != b"held\n":
                pytest.skip("this file system has no leases")
            yield
        finally:
            holder.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")
@pytest.mark.parametrize("size", [100, 1_000_000])
@pytest.mark.parametrize("readers", [0, 1])
def test_a_file_under_a_lease_is_asked_for_again(
    rig: Any, monkeypatch: pytest.MonkeyPatch, size: int, readers: int
) -> None:
    """Its holder lets go of it when asked: it is stored like any other, and so it is compared."""
    monkeypatch.setattr("backup.source.readahead.pool.FEW", 1)
    (rig.source / "leased").write_bytes(b"x" * size)
    with leased(rig.source / "leased", "gives"):
        assert rig.back_up(readers=readers).warnings == 0
    rig.restore()
    assert rig.differences() == []
    with leased(rig.restored("leased"), "gives"):
        report = rig.restore()
    assert ([Path(path).name for path in report.kept], report.differing) == (["leased"], [])


@pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")
def test_a_file_whose_holder_keeps_it_is_a_warning(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time it is given up, with the reason; the others are stored."""
    monkeypatch.setattr(reach, "LEASE", 0.2)
    (rig.source / "a").write_text("a")
    (rig.source / "b").write_text("b")
    with leased(rig.source / "a", "keeps"):
        rig.back_up()
    ((name, reason),) = rig.log.warnings
    assert Path(name).name == "a"
    assert "another program has it" in str(reason)
    # It comes as it is from the process that looks at the sources.
    found = pickle.loads(pickle.dumps(reach.Leased(errno.EAGAIN, "x")))
    assert (type(found), found.errno) == (reach.Leased, errno.EAGAIN)
    assert "b" in rig.entries()


def test_what_gives_nothing_just_now_is_not_taken_for_leased(
    rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the kernel's that has nothing to read has another reason."""
    (rig.source / "f").write_text("x")

    def nothing(*_: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "nothing just now")

    monkeypatch.setattr("backup.system.probe", nothing)
    rig.back_up()
    ((_, reason),) = rig.log.warnings
    assert "could not be read: nothing just now" in str(reason)


def test_a_pipe_that_is_named_as_a_tag_holds_nobody_up(rig: Any) -> None:
    """Whoever may write in a source could stop the night with it."""
    os.mkfifo(rig.source / "CACHEDIR.TAG")
    (rig.source / "f").write_text("x")
    rig.back_up(excludes=Excludes(caches=True))
    assert "f" in rig.entries()


@pytest.mark.parametrize("size", [-1, -(1 << 62)])
def test_a_size_below_zero_costs_no_content(rig: Any, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """What can be read is stored, with a warning, and comes back."""
    odd = rig.source / "odd"
    odd.write_bytes(b"y" * 3000)
    inode = odd.stat().st_ino

    def lying(real: Any) -> Any:
        def look(*arguments: Any, **options: Any) -> os.stat_result:
            found = real(*arguments, **options)
            if found.st_ino != inode:
                return found  # type: ignore[no-any-return]
            facts = {name: getattr(found, name) for name in dir(found) if name.startswith("st_")}
            return os.stat_result((*found[:6], size, *found[7:10]), facts)

        return look

    for name in ("stat", "lstat", "fstat"):
        monkeypatch.setattr(os, name, lying(getattr(os, name)))
    summary = rig.back_up()
    monkeypatch.undo()
    assert (summary.warnings, summary.size) == (1, 3000)
    assert rig.log.plan == (2, 0)
    ((path, reason),) = rig.log.warnings
    assert path.endswith("/odd")
    assert "below 0" in str(reason)
    assert not rig.entries()["odd"].partial
    rig.restore()
    assert rig.differences() == []
