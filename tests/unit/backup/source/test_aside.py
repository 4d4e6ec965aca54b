"""Sources that never answer: whoever looks at them is left behind, and the set is the same as without."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from backup.source import scan
from backup.source.readahead import pool
from backup.write import write_set
from tape.programs import aside
from tests.mounts import mounted, needs_fuse
from tests.unit.backup.rig import Rig, request

if sys.platform == "win32":
    pytest.skip("there nothing can be left behind", allow_module_level=True)


class GaveUp(Exception):
    """Whoever watches over the time has had enough."""


class Watch:
    """Gives up after a few ticks, and remembers what did not answer."""

    def __init__(self, *, armed: bool = True) -> None:
        self.left = 2
        self.armed = armed
        self.about: list[str] = []

    def __call__(self, about: str, _seconds: float) -> None:
        if not self.armed:
            return
        self.about.append(about)
        self.left -= 1
        if self.left < 0:
            raise GaveUp(about)


def never(_about: str, seconds: float) -> None:
    assert seconds < 60


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "TICK", 0.05)


@pytest.fixture(autouse=True)
def nobody_stays() -> Iterator[None]:
    """What was left behind ends as soon as it is let go."""
    yield
    deadline = time.monotonic() + 20
    while any(child.status() != psutil.STATUS_ZOMBIE for child in psutil.Process().children()):
        assert time.monotonic() < deadline, psutil.Process().children()
        time.sleep(0.05)


def back_up(rig: Rig, wait: Any, *sources: Path, **how: Any) -> Any:
    return write_set(rig.volume, request(*(sources or (rig.source,)), **how), rig.log, rig.spool, wait)


@needs_fuse
@pytest.mark.parametrize("what", ["read", "small", "list", "stat", "root"])
@pytest.mark.parametrize("readers", [0, 2])
def test_a_source_that_never_answers(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, readers: int
) -> None:
    """Whatever is asked of it: the watch is called with its name, and what it raises comes back."""
    monkeypatch.setattr(pool, "FEW", 1)
    watch = Watch()
    with mounted(tmp_path, what) as point, pytest.raises(GaveUp):
        back_up(rig, watch, point, readers=readers)
    assert all(str(point) in about for about in watch.about)


@pytest.mark.parametrize("readers", [0, 2])
def test_readers_that_are_stopped(rig: Rig, monkeypatch: pytest.MonkeyPatch, readers: int) -> None:
    """SIGSTOP in the middle of an answer: nobody waits for them for ever."""
    monkeypatch.setattr(pool, "FEW", 1)
    for number in range(40):
        (rig.source / f"{number:02d}").write_bytes(b"x" * 4000)
    (rig.source / "large").write_bytes(os.urandom(30 << 20))

    watch = Watch(armed=False)

    class Stops(type(rig.log)):  # type: ignore[misc]
        def progress(self, files: int, size: int) -> None:
            super().progress(files, size)
            watch.armed = True
            for child in psutil.Process().children():
                child.send_signal(signal.SIGSTOP)

    log = Stops()
    with pytest.raises(GaveUp):
        write_set(rig.volume, request(rig.source, readers=readers, frame_bytes=1), log, rig.spool, watch)
    assert log.steps


def test_the_set_is_the_same_to_the_byte(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen from aside, or by the process itself: files, holes, links, names of any kind."""
    monkeypatch.setattr(scan, "RUN", 7)
    monkeypatch.setattr("backup.source.dirlist.MAX", 20)
    many = rig.source / "many"
    many.mkdir()
    for number in range(40):
        (many / f"{number:02d}").write_bytes(bytes([number]) * 50_000 * (number % 9))
    (rig.source / "cut").write_bytes(os.urandom((3 << 20) + 17))
    (rig.source / "empty").touch()
    (rig.source / "link").symlink_to("cut")
    (rig.source / "second").hardlink_to(rig.source / "cut")
    os.mkfifo(rig.source / "fifo")
    with (rig.source / "hole").open("wb") as file:
        file.truncate(9_000_000)
        file.write(b"end")
    Path(os.fsdecode(os.fsencode(rig.source) + b"/\xff")).write_text("z")
    found = []
    for wait in (None, never):
        back_up(rig, wait, compression="none")
        folder = rig.file("")
        found.append({path.name: path.read_bytes() for path in sorted(folder.glob("data-*"))})
        folder.rename(rig.volume.root / f"with {wait}")
    assert found[0] == found[1]
    assert not rig.log.warnings


def test_a_process_that_was_killed_is_started_anew(rig: Rig) -> None:
    """What was open there is lost: its file is partial, with a warning, and the next is whole."""
    for name in ("a", "b"):
        (rig.source / name).write_bytes(os.urandom(20 << 20))
    killed: list[int] = []

    class Killing(type(rig.log)):  # type: ignore[misc]
        def progress(self, files: int, size: int) -> None:
            super().progress(files, size)
            if not killed:
                for child in psutil.Process().children():
                    killed.append(child.pid)
                    child.kill()

    rig.log = Killing()
    summary = back_up(rig, never, frame_bytes=1 << 20)
    assert len(killed) == 1
    assert summary.warnings == 1
    rig.restore()
    assert (rig.restored("b")).read_bytes() == (rig.source / "b").read_bytes()


def test_errors_are_those_of_the_one_who_looks() -> None:
    """Its class, its number and its words."""
    with aside.Aside(never) as eyes:
        with pytest.raises(FileNotFoundError, match="No such file"):
            eyes.ask(os.lstat, "/nowhere/at/all", about="x")
        with pytest.raises(scan.SourceMissing, match="does not exist"):
            eyes.ask(scan.roots, ["/nowhere/at/all"], about="x")
        assert eyes.ask(os.path.exists, "/", about="x")


class Planted:
    """What a stranger may put into a file: whoever unpickles it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("piece", range(1, 6))
def test_the_content_of_a_file_is_never_taken_for_an_answer(rig: Rig, tmp_path: Path, piece: int) -> None:
    """A backup that is broken off in the middle of a file has requested more of it. Nobody reads these pieces
    as an answer to the next question; the error comes through, and the next question is answered."""
    planted = pickle.dumps(Planted(tmp_path / "planted"))
    (rig.source / "file").write_bytes((planted + bytes(aside.PIECE - len(planted))) * 12)

    class Broken(Exception):
        pass

    def stop(_size: int) -> None:
        nonlocal piece
        piece -= 1
        if not piece:
            raise Broken

    rig.log.progress = lambda _files, size: stop(size)  # type: ignore[method-assign]
    with pytest.raises(Broken):
        back_up(rig, never, buffer_bytes=1 << 20, frame_bytes=1 << 20)
    assert not (tmp_path / "planted").exists()
    with aside.Aside(never) as eyes:
        opened = eyes.ask(os.open, str(rig.source / "file"), os.O_RDONLY, about="x")
        assert eyes.reading(opened, 0, 12 * aside.PIECE, "x").into(memoryview(bytearray(piece + 10))) > 0
        assert eyes.ask(os.path.exists, "/", about="x") is True
        eyes.close(opened)
    assert not (tmp_path / "planted").exists()
