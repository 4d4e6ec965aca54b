"""What becomes of the history of runs: one row each, after the days that the setting names."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from db.runs import transitions
from tests.dashboard.dashboard import Dashboard
from tests.system import TIMEOUT, System


def test_a_run_of_long_ago_is_one_row_and_its_set_is_kept(system: System, short_path: Path) -> None:
    """The command and the page show that its story was removed, and by which setting; the set can still be
    restored."""
    (short_path / "source").mkdir()
    (short_path / "source" / "file").write_text("kept")
    system.insert_blank()
    system.schedule("monthly", short_path / "source")
    system.start("control", "tape")
    run = system.run_schedule("monthly")
    system.wait_for_state(run, "SUCCEEDED")
    stored = system.json("sets", "list")

    def age(session: Session) -> None:
        row = transitions.get(session, run)
        row.finished_at = row.created_at - timedelta(days=500)

    system.ask(age)
    call = [sys.executable, "-m", "celery", "-A", "celery_app", "call", "tapeline.tidy"]
    subprocess.run(call, env=system.environment, check=True, capture_output=True, timeout=TIMEOUT)
    system.wait_for(lambda: system.json("runs", "show", str(run))["shortened_at"], "its story to be removed")
    shown = system.json("runs", "show", str(run))
    assert (shown["events"], shown["steps"], shown["state"]) == ([], [], "SUCCEEDED")
    assert "history_days" in system.cli("runs", "show", str(run)).stdout
    assert system.json("sets", "list") == stored
    page = Dashboard(system).get(f"/runs/{run}")
    assert 'id="shortened"' in page
    assert "history_days" in page
    target = short_path / "restored"
    system.cli("sets", "restore", stored[0]["id"], "--to", str(target))
    assert next(target.rglob("file")).read_text() == "kept"


def test_a_history_that_is_too_short_for_a_report_is_refused(system: System) -> None:
    """One line names the setting and what to write."""
    system.environment["TAPELINE_HISTORY_DAYS"] = "7"
    [line] = system.cli("settings", code=2).stderr.strip().splitlines()
    assert "history_days" in line.lower() or "HISTORY_DAYS" in line
    assert "62" in line
