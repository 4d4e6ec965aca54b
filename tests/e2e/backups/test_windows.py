"""The window of a schedule, through the real chain: a run pauses at its end and goes on when it opens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backup.compare import compare_trees
from cli import sample
from db.models import BackupSet, ChainRun, FormatPermit, TapeCartridge
from db.runs import starting
from db.schedules import schedules
from db.states import RunState, Trigger
from tests.system import System


def apply(system: System, source: Path, begins: int, ends: int) -> None:
    """Apply the file with a window that begins and ends so many minutes from now."""
    now = datetime.now(UTC)
    window = "-".join(f"{now + timedelta(minutes=minutes):%H:%M}" for minutes in (begins, ends))
    text = f"""
        [schedules.files]
        when = {{ type = "manual" }}
        window = "{window}"
        rate = "4MB/s"
        [schedules.files.backup]
        sources = ["{source}"]
        compression = "none"
        archive_size = "2MB"
    """
    (system.folder / "schedules.toml").write_text(text)
    system.cli("schedule", "apply", "schedules.toml", "--yes")


def due(session: Session) -> int:
    """As beat decides it at the due time."""
    row = schedules.get(session, "files")
    run = starting.start(session, row, due_at=datetime.now(UTC), trigger=Trigger.SCHEDULE)
    assert run
    return run.id


def test_a_run_pauses_when_its_window_closes_and_goes_on_when_it_opens(
    system: System, source: Path, short_path: Path
) -> None:
    """It seals, gives its drive back, is no failure and no alarm; later the same set is completed on the same
    tape without a second format, and every byte comes back. A rate limit makes it last."""
    sample.make(source / "more", large=9 << 20, small=10)
    volume = system.insert_blank()
    apply(system, source, -60, 60)
    system.start("control", "tape")
    run_id = system.ask(due)
    system.start_beat()
    system.wait_for(lambda: len(list(volume.glob("sets/*/index-*"))) >= 1, "an archive")
    apply(system, source, 120, 240)
    paused = system.wait_for_state(run_id, "QUEUED", "SUCCEEDED", "FAILED")
    assert paused["state"] == "QUEUED", paused
    assert paused["opens_at"] is not None
    status = system.cli("status", code=None).stdout
    assert f"Run {run_id} (files): QUEUED, Paused" in status
    assert system.json("runs", "--state", "RUNNING") == []
    assert not [alert for alert in system.json("status")["alerts"] if alert["run"] == run_id]
    assert system.announced() == []
    [stored] = system.json("sets", "list")
    assert stored["archives"] >= 1

    apply(system, source, -60, 60)
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    assert done["set_id"] == stored["id"]
    assert system.ask(lambda s: s.scalars(select(TapeCartridge.generation)).all()) == [1]
    assert system.ask(lambda s: s.scalar(select(func.count()).select_from(FormatPermit))) == 1
    assert system.ask(lambda s: s.scalar(select(func.count()).select_from(BackupSet))) == 1
    story = system.cli("runs", "show", str(run_id)).stdout
    assert "Paused: its window" in story
    assert "died" not in story
    assert "The rate limit of its schedule slowed it down for" in story
    assert system.ask(lambda s: s.get(ChainRun, run_id).state) is RunState.SUCCEEDED

    restored = short_path / "restored"
    system.cli("sets", "restore", done["set_id"], "--to", str(restored))
    assert compare_trees(source, restored / source.relative_to("/")) == []
