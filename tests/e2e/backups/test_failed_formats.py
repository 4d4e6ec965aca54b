"""A blank tape whose format fails: an operator reads why, and another tape is the way on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db.models import Notification
from policy.message import Message
from tape.virtual import record, shelf
from tape.virtual.shelf import insert, new_cartridge
from tests.ltfs import programs
from tests.system import System

FAILED = "The format failed (return code 1)"
REPORTED = "LTFS15012E Failed to format the medium."
BARCODE = "A00001L9"


@pytest.fixture
def source(short_path: Path) -> Path:
    folder = short_path / "source"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    return folder


def failed_run(system: System, source: Path, fault: dict[str, Any]) -> int:
    """A run whose format of a blank tape went wrong, with a schedule that goes on where it can."""
    system.insert_blank(BARCODE)
    shelf.set_faults(system.drive.path, BARCODE, [{"at": "format", **fault}])
    system.schedule("monthly", source, on_format_failure="continue")
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    assert system.wait_for_state(run_id, "FAILED", "SUCCEEDED")["state"] == "FAILED"
    return run_id


def formats(system: System, barcode: str) -> int:
    return record.read(shelf.folder_of(system.drive.path, barcode)).formats


def test_the_reason_is_shown_and_another_tape_is_the_way_on(system: System, source: Path) -> None:
    """In the run's reason, its message and its story; the tape that failed is not formatted again; with a
    fresh one the run that is retried goes on in a new part, from the step that failed."""
    run_id = failed_run(system, source, {"error": "eio"})
    run = system.json("runs", "show", str(run_id))
    said = system.cli("runs", "show", str(run_id)).stdout
    sent = system.ask(
        lambda session: session.scalars(
            select(Notification.facts).where(Notification.event == "failed")
        ).one()
    )
    for told in (str(Message.from_json(run["reason"])), str(Message.from_json(sent["reason"])), said):
        assert FAILED in told
        assert REPORTED in told
        assert "not this month's" not in told
    assert "With another one in the drive" in said

    system.cli("runs", "retry", str(run_id))
    again = system.wait_for_state(run_id, "FAILED", "SUCCEEDED")
    assert again["state"] == "FAILED"
    assert FAILED in str(Message.from_json(again["reason"]))

    system.insert_blank("A00002L9")
    system.cli("runs", "retry", str(run_id))
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    assert [permit["part"] for permit in done["permits"] if permit["consumed_at"]] == [1, 2]
    assert (formats(system, BARCODE), formats(system, "A00002L9")) == (0, 1)


def test_a_format_that_is_killed(system: System, source: Path) -> None:
    """The worker's host dies in the middle of a format: the run says so, and goes on with a fresh tape."""
    system.insert_blank(BARCODE, format_seconds=60.0)
    system.schedule("monthly", source, on_format_failure="continue")
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    folder = shelf.folder_of(system.drive.path, BARCODE)
    system.wait_for(lambda: record.read(folder).formatting, "the format")
    child = system.child_of("tape")
    for process in [*child.children(recursive=True), child]:
        process.kill()
    system.kill("tape")
    system.start("tape")
    run = system.wait_for_state(run_id, "FAILED", "SUCCEEDED")
    assert "was cut off" in json.dumps(run["reason"])
    assert [permit["outcome"]["ok"] for permit in run["permits"]] == [False]

    system.insert_blank("A00002L9")
    system.cli("runs", "retry", str(run_id))
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    assert formats(system, "A00002L9") == 1


@pytest.mark.skipif(programs.missing() is not None, reason=str(programs.missing()))
def test_a_format_program_that_is_missing(short_path: Path, database_url: str, broker_url: str) -> None:
    """The precheck names it, with a run and without one; once it is there, the retry goes on."""
    hardware = short_path / "sg3"
    hardware.mkdir()
    paths = programs.install(short_path / "bin")
    mkltfs = Path(paths["mkltfs"])
    away = mkltfs.rename(mkltfs.with_suffix(".away"))
    drive = {"driver": "ltfs", "device": str(hardware), "programs": paths, "label_limit_seconds": 30}
    new_cartridge(hardware, "TAPE01L8", capacity=64 << 20)
    insert(hardware, "TAPE01L8")
    system = System(short_path, database_url, broker_url, TAPELINE_DRIVES=json.dumps({"tape0": drive}))
    source = short_path / "source"
    source.mkdir()
    (source / "a.txt").write_text("a")
    try:
        system.schedule("monthly", source, on_format_failure="continue")
        system.start("control", "tape")
        asked = system.cli("precheck", "monthly", code=None)
        assert asked.returncode == 1, asked
        assert "Not installed: mkltfs" in asked.stdout
        run = system.wait_for_state(system.run_schedule("monthly"), "FAILED", "SUCCEEDED")
        assert (run["state"], run["steps"][0]["state"]) == ("FAILED", "FAILED")
        assert "mkltfs" in json.dumps(run["reason"])
        away.rename(mkltfs)
        system.cli("runs", "retry", str(run["id"]))
        assert system.wait_for_state(run["id"], "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    finally:
        system.close()
