"""A share that stops answering: the backup goes on with the other sources, or ends."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from backup.errors import SourceSilent
from backup.source.lookout import Silence
from backup.source.readahead import pool
from backup.write import write_set
from policy.message import M
from tape.programs import aside
from tests.mounts import needs_fuse, shared
from tests.unit.backup.rig import Log, Rig, request
from tests.unit.backup.source.test_changes import CHILD, remembered

if sys.platform == "win32":
    pytest.skip("there nothing can be left behind", allow_module_level=True)

pytestmark = needs_fuse

PATIENCE = 6.0
"""Seconds: a busy machine takes long to start a process that answers."""
STOPS = [("readdir", "/"), ("getattr", "/d/f1"), ("open", "/d/f1"), ("read", "/d/f1"), ("read on", "/long")]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "TICK", 0.05)
    monkeypatch.setattr(pool, "FEW", 1)


def patience(_about: str, seconds: float) -> None:
    if seconds > PATIENCE:
        raise SourceSilent(M("It does not answer."), M("Mount it anew."))


class GivenUp(list[str]):
    """What was given up, and how long that took."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.waits: list[float] = []

    def note(self, at: str) -> None:
        self.append(at)
        self.waits.append(time.monotonic() - self.began)


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """What the server has."""
    folder = tmp_path / "served"
    (folder / "d").mkdir(parents=True)
    for number in range(200):
        (folder / "d" / f"f{number}").write_bytes(b"%d" % number)
    (folder / "long").write_bytes(os.urandom(6 << 20))
    return folder


def fill(folder: Path) -> set[str]:
    for name in ("a", "z"):
        (folder / name).write_text(name)
    return {str(folder / name) for name in ("a", "z")}


def back_up(rig: Rig, given_up: GivenUp, *sources: Path, log: Log | None = None, **how: Any) -> Any:
    wait = Silence(patience, given_up.note, map(str, sources))
    return write_set(rig.volume, request(*sources, **how), log or rig.log, rig.spool, wait)


@pytest.mark.parametrize("stops", STOPS, ids=" ".join)
@pytest.mark.parametrize("readers", [0, 2])
def test_the_other_sources_are_backed_up(
    rig: Rig, tmp_path: Path, served: Path, stops: tuple[str, str], readers: int
) -> None:
    """At a listing, at an open, in the middle of a read: one wait for all that is on the share, one line, and
    each file of the other source is on the tape, before the share in the order of a set and after it."""
    before, after = tmp_path / "before", tmp_path / "zafter"
    wanted = set()
    for folder in (before, after):
        folder.mkdir()
        wanted |= fill(folder)
    point = tmp_path / "share"
    given_up = GivenUp()
    with shared(served, point, stops=stops):
        summary = back_up(rig, given_up, before, point, after, readers=readers)
        seconds = time.monotonic() - given_up.began
    assert given_up == [str(point)]
    assert seconds - given_up.waits[0] < 3 * PATIENCE
    assert wanted <= {entry.path for entry in rig.log.entries}
    assert summary.warnings >= 1
    assert all(path.startswith(str(point)) for path, _ in rig.log.warnings)
    report = rig.restore()
    assert report.failures == []


def test_a_share_that_shares_its_requests_with_another_is_the_one_given_up(
    rig: Rig, tmp_path: Path, served: Path
) -> None:
    """Small files of both go to one process at once: only the silent one is left out."""
    sound, dead = tmp_path / "a-sound", tmp_path / "dead"
    other = tmp_path / "other"
    other.mkdir()
    wanted = {str(sound / Path(path).name) for path in fill(other)}
    given_up = GivenUp()
    with shared(other, sound), shared(served, dead, stops=("read", "/d/f1")):
        back_up(rig, given_up, sound, dead, readers=1)
    assert given_up == [str(dead)]
    assert wanted <= {entry.path for entry in rig.log.entries}
    assert {path.removeprefix(str(dead)) for path, _ in rig.log.warnings} >= {"/d/f1", "/d/f99"}


@pytest.mark.parametrize("stops", STOPS[:2], ids=" ".join)
def test_what_is_on_the_share_is_not_taken_for_deleted(
    rig: Rig, tmp_path: Path, served: Path, stops: tuple[str, str]
) -> None:
    """An increment: what could not be seen stays as it was; what is gone elsewhere is recorded."""
    other, point = tmp_path / "zafter", tmp_path / "share"
    other.mkdir()
    fill(other)
    with shared(served, point):
        back_up(rig, GivenUp(), point, other)
    base = remembered(rig, rig.log.entries)
    (other / "a").unlink()
    log, given_up = Log(), GivenUp()
    facts: dict[str, Any] = {"set_id": CHILD, "type": "incremental", "parent": "x", "known": base}
    surveys: list[Any] = []
    with shared(served, point, stops=stops):
        back_up(rig, given_up, point, other, log=log, before_first_byte=surveys.append, **facts)
    assert given_up == [str(point)]
    deleted = [entry.path for entry in log.entries if entry.type == "deleted"]
    assert deleted == [str(other / "a")]
    assert [source.path for source in surveys[0].seen] == [str(other)]


def test_when_no_source_answers_the_backup_ends(rig: Rig, tmp_path: Path, served: Path) -> None:
    """There is nothing to go on with: an empty set would look like a backup."""
    point = tmp_path / "share"
    for stops in (("readdir", "/"), ("open", "/long")):
        with shared(served, point, stops=stops), pytest.raises(SourceSilent):
            back_up(rig, GivenUp(), point, set_id=f"x-{stops[0]}")


def test_a_local_disk_that_does_not_answer_ends_the_backup(
    rig: Rig, tmp_path: Path, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks it for the next file would wait for it once more."""
    monkeypatch.setattr("backup.source.lookout.share_of", lambda _path: None)
    point = tmp_path / "share"
    with shared(served, point, stops=("open", "/d/f1")), pytest.raises(SourceSilent):
        back_up(rig, GivenUp(), point, rig.source)
