"""Folders that are listed ahead: the scan finds what it would find without, in the same order."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.entry import shown
from backup.request import Excludes
from backup.source import dirlist, scan
from backup.source.dirlist import look
from backup.source.readahead import dirs, pool
from backup.source.readahead.pool import Helpers
from backup.source.readahead.worker import RequestKind
from backup.source.scan import FoundPath, Scan
from policy.message import Message
from tape.programs.command import Companion
from tests.unit.backup.rig import Rig

names = st.sampled_from(["a", "b", "a b", "a.txt", "cache", "x\ny", "back\\slash", "é", "z"])
trees = st.recursive(
    st.integers(0, 3), lambda inside: st.dictionaries(names, inside, max_size=5), max_leaves=40
).filter(lambda made: isinstance(made, dict))


def grow(folder: Path, tree: Any) -> None:
    for name, inside in tree.items():
        if isinstance(inside, dict):
            (folder / name).mkdir()
            grow(folder / name, inside)
        elif inside == 3:
            (folder / name).symlink_to("somewhere")
        else:
            (folder / name).write_bytes(bytes(inside))


class Scanned:
    """What a scan says of one tree."""

    def __init__(self, root: Path, *, count: int, **rules: Any) -> None:
        self.warnings: list[tuple[str, Message]] = []
        with Helpers(count) as running:
            made = Scan(root.parent, self._warned, helpers=running, **rules)
            self.found = list(made.walk([os.fsencode(root)]))
            self.left_out = made.left_out
            self.helpers = len(running.running)

    def _warned(self, path: bytes, reason: Message) -> None:
        self.warnings.append((shown(path), reason))

    @property
    def all(self) -> tuple[Any, ...]:
        return self.found, self.left_out, self.warnings


@pytest.fixture(autouse=True)
def even_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "FEW", 1)


@pytest.fixture(scope="module")
def pair() -> Iterator[Helpers]:
    """Two processes for all examples: what one scan leaves unread would come up in the next."""
    with Helpers(2) as running:
        running.start_for(pool.FEW)
        yield running


@pytest.mark.parametrize(
    ("most", "part", "in_flight", "questions", "held"),
    [(10_000, 1000, 3, 8, 1 << 24), (2, 1, 1, 1, 1 << 24), (2, 3, 3, 2, 1 << 24), (10_000, 1000, 3, 8, 1)],
)
def test_a_scan_with_helpers_finds_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    pair: Helpers,
    most: int,
    part: int,
    in_flight: int,
    questions: int,
    held: int,
) -> None:
    """Whatever the tree and the limits: large folders, few or many open questions, a full memory."""
    monkeypatch.setattr("backup.source.dirlist.MAX", most)
    monkeypatch.setattr(scan, "PART", part)
    monkeypatch.setattr(dirs, "IN_FLIGHT", in_flight)
    monkeypatch.setattr(dirs, "QUESTIONS", questions)
    monkeypatch.setattr(dirs, "HELD", held)

    @given(
        tree=trees, patterns=st.lists(names, max_size=1), caches=st.booleans(), resumed=st.integers(-1, 12)
    )
    def check(tree: Any, patterns: list[str], caches: bool, resumed: int) -> None:
        root = tmp_path_factory.mktemp("tree")
        grow(root, tree)
        excluded = tuple(name for name in patterns if name.isalnum())
        rules: dict[str, Any] = {"excludes": Excludes(patterns=excluded, caches=caches)}
        plain = Scanned(root, count=0, **rules)
        if 0 <= resumed < len(plain.found):
            rules["after"] = os.fsdecode(plain.found[resumed].path)
            plain = Scanned(root, count=0, **rules)
        again = Scan(root.parent, lambda *_: None, helpers=pair, **rules)
        assert list(again.walk([os.fsencode(root)])) == plain.found
        assert again.left_out == plain.left_out

    questions_asked = []
    real = pair.ask
    monkeypatch.setattr(pair, "ask", lambda *asked: questions_asked.append(asked) or real(*asked))
    check()
    assert questions_asked
    assert len(pair.running) == 2


def wide(root: Path) -> Path:
    for folder in range(12):
        for inner in range(4):
            place = root / f"{folder:02d}" / f"{inner}"
            place.mkdir(parents=True)
            for number in range(5):
                (place / f"{number}").write_bytes(b"x" * number)
    return root


@pytest.mark.parametrize("moment", [1, 2, 7, 60, 200])
def test_killed_helpers_cost_nothing_but_time(short_path: Path, moment: int) -> None:
    """Whoever kills them, at whatever moment: the scan lists for itself."""
    root = wide(short_path / "tree")
    expected = Scanned(root, count=0)
    with Helpers(2) as running:
        walk = Scan(short_path, lambda *_: None, helpers=running).walk([os.fsencode(root)])
        found = [next(walk) for _ in range(moment + 1)]
        killed = [psutil.Process(helper.pid) for helper in running.running]
        for process in killed:
            process.kill()
            process.wait()
        found += walk
    assert found == expected.found
    assert len(killed) == 2


def test_only_what_will_be_walked_is_listed_ahead(
    short_path: Path, pair: Helpers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the mounted tape, nor what the rules leave out; all else is, and taken from there."""
    root = wide(short_path / "tree")
    own = (root / "05").stat()
    asked = set()
    real = pair.ask

    def ask(helper: Companion, question: RequestKind, paths: list[bytes]) -> bool:
        asked.update(paths)
        return real(helper, question, paths)

    here = []
    monkeypatch.setattr(pair, "ask", ask)
    monkeypatch.setattr(scan, "listed", lambda folder: here.append(folder) or dirlist.listed(folder))
    rules = {"excludes": Excludes(patterns=("/07",)), "own": [(own.st_dev, own.st_ino)]}
    list(Scan(short_path, lambda *_: None, helpers=pair, **rules).walk([os.fsencode(root)]))
    tops = {
        os.fsdecode(path.rpartition(b"/")[2])
        for path in asked
        if path.count(b"/") == str(root).count("/") + 1
    }
    assert tops == {f"{number:02d}" for number in range(12)} - {"05", "07"}
    assert here == [os.fsencode(root)]


def test_a_cache_that_was_listed_ahead_is_passed_over(rig: Rig) -> None:
    """Its answer is read and forgotten, and not taken for that to another question."""
    for folder in wide(rig.source).glob("*/3"):
        (folder / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    rules = {"excludes": Excludes(caches=True)}
    assert Scanned(rig.source, count=2, **rules).all == Scanned(rig.source, count=0, **rules).all
    rig.back_up(readers=2, **rules)
    assert rig.restore().failures == []
    inside = [path for path in rig.entries() if "/3/" in path]
    assert len(inside) == 12
    assert all(path.endswith("CACHEDIR.TAG") for path in inside)


def test_what_vanishes_after_it_was_listed_is_warned_of(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is gone when its turn comes is told, and its neighbours are found."""
    root = short_path / "tree"
    (root / "gone").mkdir(parents=True)
    (root / "there").mkdir()
    real = scan.listed

    def listed(folder: bytes) -> Any:
        found = real(folder)
        if folder == os.fsencode(root):
            (root / "gone").rmdir()
        return found

    monkeypatch.setattr(scan, "listed", listed)
    scanned = Scanned(root, count=0)
    assert [(path, "vanished" in str(reason)) for path, reason in scanned.warnings] == [
        (f"{root}/gone", True)
    ]
    # Not looked at: an increment leaves what it knows of it.
    assert scanned.found[-2:] == [FoundPath(os.fsencode(root / "gone"), None), _found(root / "there")]


def _found(path: Path) -> FoundPath:
    return FoundPath(os.fsencode(path), look(os.fsencode(path)))


def test_a_folder_of_millions_is_never_in_memory_at_once(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever lists a folder takes no more names than a listing may have, to see that it is too large."""
    root = os.fsencode(wide(short_path / "tree"))
    scandir, taken = os.scandir, []

    @contextmanager
    def counting(path: bytes) -> Iterator[Iterator[os.DirEntry[bytes]]]:
        def each() -> Iterator[os.DirEntry[bytes]]:
            for entry in entries:
                taken.append(entry.name)
                yield entry

        with scandir(path) as entries:
            yield each()

    monkeypatch.setattr(dirlist, "MAX", 4)
    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", counting)
        assert dirlist.listed(root) is None
    assert len(taken) == 5


@pytest.mark.parametrize("most", [0, 1])
def test_a_host_that_can_start_no_process_backs_up_without(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """With those that could be started, or alone."""
    wide(rig.source)
    started = []

    def start(module: str, *arguments: str) -> Companion:
        if len(started) == most:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        started.append(module)
        return Companion(module, *arguments)

    monkeypatch.setattr(pool, "Companion", start)
    rig.back_up(readers=2)
    rig.restore()
    assert rig.differences() == []
    assert len(started) == most


def test_few_files_start_no_process(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "FEW", 1000)
    assert Scanned(wide(short_path / "tree"), count=2).helpers == 0
