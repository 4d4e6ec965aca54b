"""kill -9 at each moment of a run's commands: ``before`` counts once, ``after`` runs in the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from celery_app.settings_file import LOOK_SECONDS
from db.models import CommandBracket
from db.states import Step
from tape.virtual import shelf
from tests.faults import trial as at
from tests.faults.fragile import FragileSystem
from tests.faults.proof import SUCCESS, prove
from tests.faults.test_kills import TAPE_CHILD, TAPE_HOST, Kill
from tests.faults.trial import WRITING, Place, Trial

TAPE = Kill("the tape worker", lambda system: system.kill_only("tape"), ("tape",), "tape")
"""Its command lives on."""
SCRIPT = """
import os, sys, time
from pathlib import Path
folder, name = Path(sys.argv[1]), sys.argv[2]
def note(what):
    with (folder / "calls").open("a") as file:
        file.write(what + "\\n")
ended = os.environ.get("BACKUP_RESULT")
note(f"{name} {ended}" if ended else name)
if name == "dump":
    print("x" * 2_600_000, flush=True)
while (folder / f"hold-{name}").exists():
    time.sleep(0.05)
note(f"{name} ends")
"""
COMMANDS = """
[commands.quiesce]
argv = ["{python}", "{script}", "{folder}", "quiesce"]
[commands.release]
argv = ["{python}", "{script}", "{folder}", "release"]
[commands.dump]
argv = ["{python}", "{script}", "{folder}", "dump"]
"""
NAMED = {"before": ["quiesce"], "after": ["release"]}
BEFORE = ["quiesce", "quiesce ends"]
AFTER = ["release SUCCEEDED", "release ends"]
UNDONE = ["release INTERRUPTED", "release ends"]


class Calls:
    """What the commands of the drive's host have written down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def hold(self, name: str) -> None:
        """Let a command stay at its work until it is let go."""
        (self.folder / f"hold-{name}").touch()

    def let_go(self, name: str) -> None:
        (self.folder / f"hold-{name}").unlink(missing_ok=True)


@pytest.fixture
def calls(system: FragileSystem, tmp_path: Path) -> Iterator[Calls]:
    """The commands are in the host's own file, which its worker reads again; afterwards they are gone."""
    script = tmp_path / "command.py"
    script.write_text(SCRIPT)
    file = system.folder / "tapeline.toml"
    before = file.read_text("utf-8")
    file.write_text(before + COMMANDS.format(python=sys.executable, script=script, folder=tmp_path), "utf-8")
    time.sleep(LOOK_SECONDS)
    yield Calls(tmp_path)
    file.write_text(before, "utf-8")


def is_ready(trial: Trial) -> bool:
    """Whether ``before`` has succeeded and its run is not told of an end."""
    found = trial.system.ask(lambda session: session.get(CommandBracket, trial.run_id))
    return found is not None and found.ready_at is not None and found.outcome is None


def at_work(calls: Calls, name: str) -> Callable[[Trial], bool]:
    return lambda _scene: calls.read()[-1:] == [name]


ENDED = Place(
    "set complete in the catalogue, after not begun",
    Step.RUN_BACKUP,
    tape=WRITING,
    table="command_brackets",
    closed_when=lambda trial: trial.catalogued() >= 1,
)
KILLS = pytest.mark.parametrize("kill", [TAPE_CHILD, TAPE, TAPE_HOST], ids=str)


@KILLS
def test_a_kill_during_before(system: FragileSystem, calls: Calls, kill: Kill) -> None:
    """It is not known how far it came: ``after`` puts it right, once it has ended, and it begins anew."""
    trial = Trial(system, tape={}, template=NAMED)
    calls.hold("quiesce")
    with Place("before", Step.RUN_BACKUP, reached=at_work(calls, "quiesce")).held(trial):
        kill.strike(system)
    kill.mend(system)
    calls.let_go("quiesce")
    prove(trial, SUCCESS)
    ended = ["quiesce"] if kill is TAPE_HOST else BEFORE
    assert calls.read() == [*ended, *UNDONE, *BEFORE, *AFTER]


@KILLS
def test_a_kill_between_before_and_reading(system: FragileSystem, calls: Calls, kill: Kill) -> None:
    trial = Trial(system, tape={}, template=NAMED)
    shelf.set_faults(
        system.drive.path, trial.barcode, [{"at": "mount", "error": "slow", "seconds": 4.0, "nth": 1}]
    )
    with Place("before done", Step.RUN_BACKUP, reached=is_ready).held(trial):
        kill.strike(system)
    kill.mend(system)
    prove(trial, SUCCESS)
    assert calls.read() == [*BEFORE, *AFTER]


@KILLS
def test_a_kill_while_reading(system: FragileSystem, calls: Calls, kill: Kill) -> None:
    trial = Trial(system, tape=WRITING, template=NAMED)
    with at.ARCHIVE.held(trial):
        kill.strike(system)
    kill.mend(system)
    prove(trial, SUCCESS)
    assert calls.read() == [*BEFORE, *AFTER]


@pytest.mark.parametrize("kill", [TAPE_CHILD, TAPE], ids=str)
def test_a_kill_while_a_dump_is_read(system: FragileSystem, calls: Calls, kill: Kill) -> None:
    """It is read again from its beginning, and nothing of the first attempt is taken for it."""
    dumps = [{"command": "dump", "name": "accounts.sql"}]
    trial = Trial(system, tape={}, template={**NAMED, "dumps": dumps})
    calls.hold("dump")
    with Place("a dump", Step.RUN_BACKUP, reached=at_work(calls, "dump")).held(trial):
        system.wait_for(lambda: trial.catalogued() >= 1, "a part of it to be sealed")
        kill.strike(system)
    kill.mend(system)
    calls.let_go("dump")
    prove(trial, SUCCESS)
    found = [line for line in calls.read() if line != "dump ends"]
    assert found == ["quiesce", "quiesce ends", "dump", "dump", *AFTER]
    assert calls.read()[-3:] == ["dump ends", *AFTER]


@KILLS
def test_a_kill_between_the_end_and_after(system: FragileSystem, calls: Calls, kill: Kill) -> None:
    trial = Trial(system, tape=WRITING, template=NAMED)
    with ENDED.held(trial):
        kill.strike(system)
    kill.mend(system)
    prove(trial, SUCCESS)
    assert calls.read() == [*BEFORE, *AFTER]


@KILLS
def test_a_kill_during_after(system: FragileSystem, calls: Calls, kill: Kill) -> None:
    """It runs again when the first one has ended; the set is complete and is not written again."""
    trial = Trial(system, tape={}, template=NAMED)
    calls.hold("release")
    with Place("after", Step.RUN_BACKUP, reached=at_work(calls, "release SUCCEEDED")).held(trial):
        kill.strike(system)
    kill.mend(system)
    calls.let_go("release")
    prove(trial, SUCCESS)
    ended = AFTER[:1] if kill is TAPE_HOST else AFTER
    assert calls.read() == [*BEFORE, *ended, *AFTER]


def test_a_run_that_ends_without_its_worker(system: FragileSystem, calls: Calls) -> None:
    """Cancelled while its worker is dead: the next worker of the drive runs what is owed."""
    trial = Trial(system, tape=WRITING, template=NAMED)
    with at.ARCHIVE.held(trial):
        TAPE.strike(system)
        system.cli("runs", "cancel", str(trial.run_id))
    system.wait_for(lambda: trial.state == "CANCELLED", "the cancelled run")
    assert calls.read() == BEFORE
    TAPE.mend(system)
    system.wait_for(lambda: calls.read() == [*BEFORE, "release CANCELLED", "release ends"], "after")
