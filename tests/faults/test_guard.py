"""kill -9 in the moments of the guard: the run is held all the same, once, and nothing was written for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from db.models import BackupSet, Notification
from db.runs import transitions
from db.states import Step
from tape.virtual import shelf
from tests.faults.scene import SLOW, Place, Scene
from tests.faults.site import Site
from tests.faults.test_kills import CONTROL, TAPE, TAPE_CHILD, TAPE_HOST, Kill

JUDGED = Place(
    "the plan judged, not held yet",
    Step.RUN_BACKUP,
    table="run_events",
    closed_when=lambda scene: scene.is_running(Step.RUN_BACKUP),
)


@pytest.fixture
def scene(site: Site) -> Scene:
    """A source of which a full backup is on tape, and that has lost most of its files since."""
    source = site.folder / "guarded"
    for number in range(60):
        path = source / f"f{number % 5}" / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
    found = Scene(site, tape=SLOW, template={"sources": [str(source)]})
    found.begin()
    site.wait_for(lambda: found.state == "SUCCEEDED", "the first backup")
    for path in sorted(source.rglob("file-*"))[:50]:
        path.unlink()
    # So that there is time to close the table after the step was claimed.
    shelf.set_faults(site.drive.path, found.barcode, [{"at": "mount", "error": "slow", "seconds": 3.0}])
    return found


def on_tape(scene: Scene) -> set[Path]:
    return set(scene.folder.rglob("sets/*/*"))


@pytest.mark.parametrize("kill", [TAPE_CHILD, TAPE, TAPE_HOST], ids=str)
def test_a_kill_before_it_is_held(site: Site, scene: Scene, kill: Kill) -> None:
    """The next attempt judges anew: the run is held and announced once, without a set."""
    before = on_tape(scene)
    with JUDGED.held(scene):
        kill.strike(site)
    kill.mend(site)
    site.wait_for(lambda: scene.state == "HELD", "the run to be held")
    assert on_tape(scene) == before
    assert site.ask(lambda session: session.scalar(_sets(scene))) == 0
    assert site.ask(lambda session: session.scalar(_announced(scene))) == 1
    site.cli("runs", "accept", str(scene.run_id), "--why", "so it is")
    site.wait_for(lambda: scene.state == "SUCCEEDED", "the accepted run")


@pytest.mark.parametrize("kill", [TAPE, CONTROL], ids=str)
def test_a_kill_while_it_is_held(site: Site, scene: Scene, kill: Kill) -> None:
    """Nobody works at it: it stays held, and goes on when it is accepted."""
    before = on_tape(scene)
    scene.begin()
    site.wait_for(lambda: scene.state == "HELD", "the run to be held")
    kill.strike(site)
    kill.mend(site)
    assert (scene.state, on_tape(scene)) == ("HELD", before)
    site.cli("runs", "accept", str(scene.run_id), "--why", "so it is")
    site.wait_for(lambda: scene.state == "SUCCEEDED", "the accepted run")
    accepted = site.ask(lambda session: transitions.get(session, scene.run_id).accepted)
    stored = site.ask(lambda session: session.scalars(_kept(scene)).one())
    assert stored == accepted


def _sets(scene: Scene) -> object:
    return select(func.count()).select_from(BackupSet).where(BackupSet.run_id == scene.run_id)


def _kept(scene: Scene) -> object:
    return select(BackupSet.accepted).where(BackupSet.run_id == scene.run_id)


def _announced(scene: Scene) -> object:
    of_run = (Notification.run_id == scene.run_id) & (Notification.event == "held")
    return select(func.count()).select_from(Notification).where(of_run)
