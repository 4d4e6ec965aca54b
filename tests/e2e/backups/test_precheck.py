"""``tapeline precheck`` through its front door: the drive's worker looks, nothing changes."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update

from db.models import Base, Notification, RunEvent
from tape.virtual import shelf
from tests.system import System

GB = 10**9


@pytest.fixture
def source(short_path: Path) -> Path:
    folder = short_path / "source"
    folder.mkdir()
    (folder / "a").write_bytes(b"x" * 100_000)
    return folder


def precheck(system: System, *arguments: str, code: int) -> dict[str, str]:
    """The verdict of each check; the exit code is checked."""
    found = system.cli("precheck", "monthly", *arguments, code=code).stdout
    shown = system.json("precheck", "monthly", *arguments)
    assert shown["would_run"] == (code == 0)
    assert [line.split()[1] for line in found.splitlines()] == [each["check"] for each in shown["findings"]]
    return {finding["check"]: finding["verdict"] for finding in shown["findings"]}


def everything(system: System) -> dict[str, Any]:
    """Every row of every table, but for what the processes say of themselves."""

    def rows(session: Any) -> dict[str, Any]:
        session.execute(text("SET LOCAL TIME ZONE 'UTC'"))
        return {
            name: session.execute(table.select()).all()
            for name, table in Base.metadata.tables.items()
            if name not in {"drives", "processes", "clock_marks"}
        }

    return dict(system.ask(rows))


def test_it_says_whether_a_run_would_go_ahead_and_changes_nothing(system: System, source: Path) -> None:
    """No worker: refused. No tape: exit code 4. A blank tape: 0, and the run then does go ahead; in the same
    period an automatic run would be skipped now, one by hand appends, and the one that is due next month
    needs another tape: with a blank one in, it will go ahead."""
    system.schedule("monthly", source)
    assert precheck(system, code=1)["drive"] == "refused"
    system.start("control", "tape")
    before = everything(system)
    assert precheck(system, code=4)["tape"] == "wait"
    system.insert_blank()
    assert set(precheck(system, code=0).values()) == {"ok"}
    assert everything(system) == before

    done = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    assert precheck(system, "--now", code=1)["period"] == "refused"
    found = precheck(system, code=4)
    assert (found["period"], found["tape"]) == ("ok", "wait")
    system.insert_blank("A00002L9")
    assert set(precheck(system, code=0).values()) == {"ok"}
    due = datetime.fromisoformat(system.json("precheck", "monthly")["as_of"])
    assert (due.day, due.hour) == (1, 2)
    assert due > datetime.now(UTC)
    shelf.insert(system.drive.path, "A00001L9")
    found = precheck(system, "--manual", code=0)
    assert found["room"] == "ok"
    appended = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert appended["state"] == "SUCCEEDED", appended


def test_what_is_wrong_is_named_with_its_remedy(system: System, source: Path, short_path: Path) -> None:
    """A source that is gone, a tape of another month, a drive that is at work, a run that is not finished."""
    system.schedule("monthly", source, short_path / "gone")
    system.start("tape")
    system.insert_blank()
    assert system.drive.format("TP20200101").return_code == 0
    found = precheck(system, code=4)
    assert (found["sources"], found["tape"]) == ("warning", "wait")
    system.schedule("monthly", short_path / "gone")
    found = precheck(system, code=1)
    assert (found["sources"], found["tape"]) == ("refused", "wait")
    shown = system.cli("precheck", "monthly", code=1).stdout
    assert "gone' does not exist." in shown
    assert "TP20200101" in shown
    system.kill("tape", signal.SIGTERM)
    run_id = system.run_schedule("monthly")
    found = precheck(system, code=1)
    assert found["running"] == found["drive"] == "refused"
    assert f"tapeline runs cancel {run_id}" in system.cli("precheck", "monthly", code=1).stdout
    assert "'nothing'" in system.cli("precheck", "nothing", code=2).stderr


def test_an_unreadable_label_is_refused_unless_the_schedule_says_otherwise(
    system: System, source: Path
) -> None:
    """unreadable_label: continue only puts the refusal off to the format, and precheck says so."""
    system.schedule("monthly", source)
    system.start("tape")
    system.insert_blank()
    (shelf.folder_of(system.drive.path, "A00001L9") / "cartridge.json").write_text("{damaged")
    assert precheck(system, code=4)["tape"] == "wait"
    system.change_schedule("monthly", unreadable_label="continue")
    assert precheck(system, code=4)["tape"] == "wait"
    assert "looks once more" in system.cli("precheck", "monthly", code=4).stdout


def test_a_tape_that_may_be_too_small_is_a_warning(system: System, source: Path) -> None:
    """By the size of the last backup: the run goes ahead, its story says so, and one message goes out; a tape
    that is filled over the limit is one more."""
    system.environment["TAPELINE_CAPACITY_WARNING_PERCENT"] = "1"
    system.insert_blank(capacity=20_000_000)
    (source / "b").write_bytes(os.urandom(2_000_000))
    system.schedule("monthly", source)
    system.start("control", "tape")
    first = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert first["state"] == "SUCCEEDED", first
    assert announced(system, first["id"]) == ["started", "capacity", "success"]

    def pretend_it_was_larger(session: Any) -> None:
        session.execute(text("UPDATE backup_archives SET bytes = 30000000"))

    system.ask(pretend_it_was_larger)
    assert precheck(system, "--manual", code=0)["room"] == "warning"
    second = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert second["state"] == "SUCCEEDED", second
    assert announced(system, second["id"]) == ["started", "capacity", "success"]
    story = [event["message"]["id"] for event in second["events"] if event["level"] == "warning"]
    assert any("need a second tape" in line for line in story)


def announced(system: System, run_id: int) -> list[str]:
    said = select(Notification.event).where(Notification.run_id == run_id).order_by(Notification.id)
    return list(system.ask(lambda session: session.scalars(said).all()))


def test_a_clock_that_runs_behind_what_has_happened_stops_a_run(system: System, source: Path) -> None:
    """What was told of an hour from now proves the clock wrong: refused, and nothing is formatted; a clock
    that was ahead and has been set right costs one run."""
    system.insert_blank()
    system.schedule("monthly", source)
    system.start("control", "tape")
    first = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert first["state"] == "SUCCEEDED", first

    def tell_the_future(session: Any) -> None:
        session.execute(update(RunEvent).values(at=datetime.now(UTC) + timedelta(hours=1)))

    system.ask(tell_the_future)
    assert precheck(system, "--manual", code=1)["clock"] == "refused"
    run_id = system.run_schedule("monthly")
    stopped = system.wait_for_state(run_id, "FAILED", "SUCCEEDED")
    assert "clock" in str(stopped["reason"]), stopped
    assert stopped["permits"] == []
    again = system.wait_for_state(system.run_schedule("monthly"), "FAILED", "SUCCEEDED")
    assert again["state"] == "SUCCEEDED", again
