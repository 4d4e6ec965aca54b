"""kill -9 in the moments of the guard: the run is held all the same, once, and nothing was written for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from db.models import BackupSet, Notification
from db.runs import transitions
from db.states import Step
from tape.virtual import shelf
from tests.faults.fragile import FragileSystem
from tests.faults.test_kills import CONTROL, TAPE, TAPE_CHILD, TAPE_HOST, Kill
from tests.faults.trial import SLOW, Place, Trial

JUDGED = Place(
    "the plan judged, not held yet",
    Step.RUN_BACKUP,
    table="run_events",
    closed_when=lambda trial: trial.is_running(Step.RUN_BACKUP),
)


@pytest.fixture
def trial(system: FragileSystem) -> Trial:
    """A source of which a full backup is on tape, and that has lost most of its files since."""
    source = system.folder / "guarded"
    for number in range(60):
        path = source / f"f{number % 5}" / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
    found = Trial(system, tape=SLOW, template={"sources": [str(source)]})
    found.begin()
    system.wait_for(lambda: found.state == "SUCCEEDED", "the first backup")
    for path in sorted(source.rglob("file-*"))[:50]:
        path.unlink()
    # So that there is time to close the table after the step was claimed.
    shelf.set_faults(system.drive.path, found.barcode, [{"at": "mount", "error": "slow", "seconds": 3.0}])
    return found


def on_tape(trial: Trial) -> set[Path]:
    return set(trial.folder.rglob("sets/*/*"))


@pytest.mark.parametrize("kill", [TAPE_CHILD, TAPE, TAPE_HOST], ids=str)
def test_a_kill_before_it_is_held(system: FragileSystem, trial: Trial, kill: Kill) -> None:
    """The next attempt judges anew: the run is held and announced once, without a set."""
    before = on_tape(trial)
    with JUDGED.held(trial):
        kill.strike(system)
    kill.mend(system)
    system.wait_for(lambda: trial.state == "HELD", "the run to be held")
    assert on_tape(trial) == before
    assert system.ask(lambda session: session.scalar(_sets(trial))) == 0
    assert system.ask(lambda session: session.scalar(_announced(trial))) == 1
    system.cli("runs", "accept", str(trial.run_id), "--why", "so it is")
    system.wait_for(lambda: trial.state == "SUCCEEDED", "the accepted run")


@pytest.mark.parametrize("kill", [TAPE, CONTROL], ids=str)
def test_a_kill_while_it_is_held(system: FragileSystem, trial: Trial, kill: Kill) -> None:
    """Nobody works at it: it stays held, and goes on when it is accepted."""
    before = on_tape(trial)
    trial.begin()
    system.wait_for(lambda: trial.state == "HELD", "the run to be held")
    kill.strike(system)
    kill.mend(system)
    assert (trial.state, on_tape(trial)) == ("HELD", before)
    system.cli("runs", "accept", str(trial.run_id), "--why", "so it is")
    system.wait_for(lambda: trial.state == "SUCCEEDED", "the accepted run")
    accepted = system.ask(lambda session: transitions.get(session, trial.run_id).accepted)
    stored = system.ask(lambda session: session.scalars(_kept(trial)).one())
    assert stored == accepted


def _sets(trial: Trial) -> object:
    return select(func.count()).select_from(BackupSet).where(BackupSet.run_id == trial.run_id)


def _kept(trial: Trial) -> object:
    return select(BackupSet.accepted).where(BackupSet.run_id == trial.run_id)


def _announced(trial: Trial) -> object:
    of_run = (Notification.run_id == trial.run_id) & (Notification.event == "held")
    return select(func.count()).select_from(Notification).where(of_run)
