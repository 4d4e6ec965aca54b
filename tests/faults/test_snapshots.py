"""kill -9 at each moment of a snapshot's life: made, read, removed. The next worker finds it by its row."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from celery_app.settings_file import LOOK_SECONDS
from db.models import CommandBracket
from db.states import Step
from tests.faults import trial as at
from tests.faults.fragile import FragileSystem
from tests.faults.proof import SUCCESS, prove
from tests.faults.test_commands import TAPE
from tests.faults.test_kills import TAPE_CHILD, TAPE_HOST, Kill
from tests.faults.trial import WRITING, Place, Trial

SCRIPT = """
cd "$1"
copy="$1/copies/$BACKUP_SNAPSHOT"
hold() {
    while [ -e "hold-$BACKUP_MOMENT" ]; do sleep 0.05; done
}
case "$BACKUP_MOMENT" in
snapshot)
    echo made >> calls
    mkdir -p copies
    cp -a -- "$BACKUP_SNAPSHOT_SOURCE" "$copy"
    hold
    echo "$copy" ;;
snapshot-check)
    test -e "$copy" ;;
snapshot-remove)
    if [ -e "$copy" ]; then echo removed >> calls; else echo nothing to remove >> calls; fi
    hold
    rm -rf -- "$copy" ;;
esac
"""
COMMAND = """
[commands.clone]
argv = ["/bin/sh", "{script}", "{folder}"]
"""


class Clones:
    """The snapshots that a command of the host makes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def left(self) -> list[str]:
        copies = self.folder / "copies"
        return sorted(path.name for path in copies.iterdir()) if copies.exists() else []

    def hold(self, moment: str) -> Path:
        flag = self.folder / f"hold-{moment}"
        flag.touch()
        return flag


@pytest.fixture
def clones(system: FragileSystem, tmp_path: Path) -> Iterator[Clones]:
    script = tmp_path / "clone.sh"
    script.write_text(SCRIPT)
    file = system.folder / "tapeline.toml"
    before = file.read_text("utf-8")
    file.write_text(before + COMMAND.format(script=script, folder=tmp_path), "utf-8")
    time.sleep(LOOK_SECONDS)
    yield Clones(tmp_path)
    file.write_text(before, "utf-8")


def named(system: FragileSystem, **template: object) -> dict[str, object]:
    return {"source_options": {str(system.source): {"snapshot": "clone"}}, **template}


def rows(trial: Trial) -> list[str] | None:
    """The names that the bracket of a run has; None: it is closed."""
    row = trial.system.ask(lambda session: session.get(CommandBracket, trial.run_id))
    return None if row.closed_at is not None else [each["name"] for each in row.snapshots]


KILLS = pytest.mark.parametrize("kill", [TAPE_CHILD, TAPE, TAPE_HOST], ids=str)


@KILLS
def test_a_kill_while_it_is_made(system: FragileSystem, clones: Clones, kill: Kill) -> None:
    """Its row is there before it is: the half one is removed, and another one made."""
    trial = Trial(system, tape={}, template=named(system, archive_bytes=64 << 20))
    flag = clones.hold("snapshot")
    place = Place("a snapshot", Step.RUN_BACKUP, reached=lambda _: bool(clones.left))
    with place.held(trial):
        assert rows(trial) == clones.left, "the row comes first"
        kill.strike(system)
    kill.mend(system)
    flag.unlink()
    prove(trial, SUCCESS)
    assert clones.calls == ["made", "removed", "made", "removed"]
    assert (clones.left, rows(trial)) == ([], None)


@KILLS
def test_a_kill_while_it_is_read(system: FragileSystem, clones: Clones, kill: Kill) -> None:
    """The run goes on with the same one."""
    trial = Trial(system, tape=WRITING, template=named(system))
    with at.ARCHIVE.held(trial):
        kill.strike(system)
    kill.mend(system)
    prove(trial, SUCCESS)
    assert clones.calls == ["made", "removed"]
    assert (clones.left, rows(trial)) == ([], None)


@KILLS
def test_a_kill_while_it_is_removed(system: FragileSystem, clones: Clones, kill: Kill) -> None:
    """The set is complete and is not written again; the removal begins anew."""
    trial = Trial(system, tape={}, template=named(system, archive_bytes=64 << 20))
    flag = clones.hold("snapshot-remove")
    place = Place("the removal", Step.RUN_BACKUP, reached=lambda _: "removed" in clones.calls)
    with place.held(trial):
        kill.strike(system)
    kill.mend(system)
    flag.unlink()
    prove(trial, SUCCESS)
    assert clones.calls[:2] == ["made", "removed"]
    assert (clones.left, rows(trial)) == ([], None)


def test_a_run_that_ends_without_its_worker(system: FragileSystem, clones: Clones) -> None:
    """Cancelled while its worker is dead: the next worker of the drive removes it."""
    trial = Trial(system, tape=WRITING, template=named(system))
    with at.ARCHIVE.held(trial):
        TAPE.strike(system)
        system.cli("runs", "cancel", str(trial.run_id))
    system.wait_for(lambda: trial.state == "CANCELLED", "the cancelled run")
    assert len(clones.left) == 1
    TAPE.mend(system)
    system.wait_for(lambda: rows(trial) is None, "the end of the bracket")
    assert clones.left == []
