"""What an operator does at the drive: load, eject, check, register, label; and how the tape is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db.models import Notification
from db.tapes import drives
from tape.virtual import shelf
from tests.system import System


def insert(system: System, barcode: str = "A00001L9") -> None:
    shelf.new_cartridge(system.drive.path, barcode, capacity=10**9)
    shelf.insert(system.drive.path, barcode)


def a_file(system: System) -> Path:
    source = system.folder / "source"
    source.mkdir(exist_ok=True)
    (source / "file.txt").write_text("content")
    return source


def backed_up(system: System, **settings: Any) -> int:
    """A run that succeeded, with its workers still there."""
    system.schedule("monthly", a_file(system), **settings)
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    assert system.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    return run_id


def test_load_eject_and_check(system: System) -> None:
    """The cartridge goes in and out by hand, its volume is checked, and an empty drive says so."""
    insert(system)
    assert "blank" in system.cli("drive", "load", "tape0", "--cartridge", "A00001L9").stdout
    system.drive.format("TP20261101")
    assert "TP20261101" in system.cli("drive", "load").stdout
    assert "TP20261101 is sound" in system.cli("drive", "check").stdout
    assert system.json("drive", "eject", "tape0")["medium"]["state"] == "no_medium"
    assert "Put a cartridge in" in system.cli("drive", "load", code=4).stderr
    assert "no cartridge" in system.cli("drive", "check", code=4).stderr
    assert "[drives.none]" in system.cli("drive", "eject", "none", code=2).stderr


def test_a_new_cartridge_for_a_virtual_drive(system: System) -> None:
    """Made with the room that was asked for, and loaded; a size without its unit makes nothing."""
    assert "4GiB" in system.cli("drive", "load", "--new", "A00001L9", "--capacity", "12", code=2).stderr
    loaded = system.json("drive", "load", "--new", "A00001L9", "--capacity", "3GB")
    assert loaded["medium"]["capacity"] == 3_000_000_000
    assert "already" in system.cli("drive", "load", "--new", "A00001L9", code=2).stderr


def test_what_a_run_works_with_is_left_alone(system: System) -> None:
    """While a run has the drive nobody ejects, loads, checks or labels what is in it."""
    insert(system)
    system.schedule("monthly", a_file(system))
    run_id = system.run_schedule("monthly")
    system.wait_for(lambda: system.json("runs", "show", str(run_id))["state"] == "RUNNING", "the run")
    for words in (("drive", "eject"), ("drive", "load"), ("drive", "check"), ("tape", "label", "X1")):
        assert f"Run {run_id} works at drive tape0 now." in system.cli(*words, code=1).stderr
    assert shelf.inserted(system.drive.path) == "A00001L9"


def test_a_label_by_hand(system: System) -> None:
    """The label changes, the data and the row stay; a bad one, a taken one and a blank tape are refused."""
    insert(system)
    assert "no volume" in system.cli("tape", "label", "ARCHIVE1", code=4).stderr
    backed_up(system)
    [before] = system.json("tape", "list")
    assert "→ ARCHIVE1" in system.cli("tape", "label", "ARCHIVE1").stdout
    after = system.json("tape", "show", "ARCHIVE1")
    assert (after["id"], after["label"], len(after["sets"])) == (before["id"], "ARCHIVE1", 1)
    assert "breaks the rule" in system.cli("tape", "label", "--", "-x y", code=2).stderr
    insert(system, "A00002L9")
    system.drive.format("TP20990101")
    assert "Another tape has the label ARCHIVE1" in system.cli("tape", "label", "ARCHIVE1", code=1).stderr


def test_a_blank_tape_is_registered_in_a_pool(system: System) -> None:
    """A schedule of a pool takes no stranger; once it is registered, the blank tape is formatted and used."""
    insert(system)
    system.schedule("yearly", a_file(system), tape_policy="pool:yearly")
    system.start("control", "tape")
    refused = system.run_schedule("yearly")
    assert system.wait_for_state(refused, "FAILED", "SUCCEEDED")["state"] == "FAILED"
    registered = system.json("tape", "register", "--pool", "yearly")
    assert (registered["tape_id"], registered["pool"], registered["generation"]) == ("A00001L9", "yearly", 0)
    assert system.json("tape", "register", "--pool", "yearly")["id"] == registered["id"]
    run_id = system.run_schedule("yearly")
    assert system.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    [tape] = system.json("tape", "list")
    assert (tape["id"], tape["pool"], tape["generation"]) == (registered["id"], "yearly", 1)


@pytest.mark.parametrize(("after_run", "inside"), [("eject", None), ("keep", "A00001L9")])
def test_after_a_run_as_the_schedule_says(system: System, after_run: str, inside: str | None) -> None:
    """The cartridge comes out after a success where the schedule says so, and the story tells it."""
    insert(system)
    run_id = backed_up(system, after_run=after_run)
    if inside is None:
        system.wait_for(lambda: shelf.inserted(system.drive.path) is None, "the eject")
        system.wait_for(lambda: "ejected" in system.cli("runs", "show", str(run_id)).stdout, "the story")
    assert shelf.inserted(system.drive.path) == inside


def test_the_eject_follows_what_is_queued_for_the_drive(system: System) -> None:
    """A backup that is read back keeps its tape in the drive until that is done, and then it comes out."""
    insert(system)
    run_id = backed_up(system, after_run="eject", template={"verify_percent": 100})
    [verification] = [run for run in system.json("runs") if run["kind"] == "verify"]
    assert system.wait_for_state(verification["id"], "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    system.wait_for(lambda: shelf.inserted(system.drive.path) is None, "the eject")
    system.wait_for(lambda: "was ejected" in system.cli("runs", "show", str(run_id)).stdout, "the story")


def test_a_tape_that_was_put_in_meanwhile_is_not_ejected(system: System) -> None:
    """What is owed to one tape befalls no other."""
    insert(system)
    run_id = backed_up(system)
    with system.database.transaction() as session:
        drives.eject_after(session, "tape0", run_id)
    insert(system, "A00002L9")
    other = system.json("drive", "load", "--cartridge", "A00002L9")
    assert other["medium"]["state"] == "blank"
    system.json("tape", "import", "--no-wait")
    system.wait_for(
        lambda: "not in the drive any more" in system.cli("runs", "show", str(run_id)).stdout, "the story"
    )
    assert shelf.inserted(system.drive.path) == "A00002L9"


def test_the_condition_of_a_tape(system: System) -> None:
    """After a run loads, bytes and errors are known, shown, and what is past its threshold is warned of."""
    insert(system)
    drive = {"driver": "virtual", "path": str(system.drive.path), "warn": {"loads": 1}}
    system.environment["TAPELINE_DRIVES"] = json.dumps({"tape0": drive})
    run_id = backed_up(system)
    [tape] = system.json("tape", "list")
    assert tape["health"]["loads"] == 1
    assert tape["health"]["written_bytes"] > 0
    assert (tape["health"]["write_errors"], tape["health"]["tape_alerts"]) == (0, [])
    assert "was loaded 1 time:" in system.cli("runs", "show", str(run_id)).stdout
    assert system.wait_for_state(run_id, "SUCCEEDED")["warnings"] == 1
    with system.database.transaction() as session:
        [told] = session.scalars(select(Notification).where(Notification.event == "warnings"))
        assert "was loaded" in told.facts["condition"][0]["id"]
        assert told.run_id == run_id
    assert "was loaded 1 time:" in system.cli("status").stdout
    for words in (("tape", "show", tape["tape_id"]), ("drive", "status", "tape0")):
        assert "Written in all" in system.cli(*words).stdout


def test_a_tape_that_breaks_tells_of_it(system: System) -> None:
    """After a write error the counters and the drive's alert are in the row and in the story."""
    insert(system)
    system.schedule("monthly", a_file(system))
    system.start("control", "tape")
    shelf.set_faults(system.drive.path, "A00001L9", [{"at": "write", "nth": 1, "error": "eio"}])
    run_id = system.run_schedule("monthly")
    assert system.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "FAILED"
    story = system.cli("runs", "show", str(run_id)).stdout
    assert "1 write error:" in story
    assert "Write failure (TapeAlert)" in story
    [tape] = system.json("tape", "list")
    assert (tape["health"]["write_errors"], tape["health"]["tape_alerts"]) == (1, ["Write failure"])


def test_a_tape_that_another_program_has_written(system: System) -> None:
    """No run formats it until somebody at the drive has named it; and then one format, once."""
    folder = system.insert_blank(foreign=True)
    serial = json.loads((folder.parent / "cartridge.json").read_bytes())["medium_serial"]
    system.schedule("monthly", a_file(system))
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    assert system.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "FAILED"
    assert "tapeline tape erasable --drive tape0" in system.cli("runs", "show", str(run_id)).stdout
    assert "tape erasable" in system.cli("precheck", "monthly", code=4).stdout
    shown = system.cli("tape", "erasable", code=4).stdout
    assert f"--confirm {serial}" in shown
    assert serial in system.cli("tape", "erasable", "--confirm", "tape0", code=2).stderr
    assert system.cli("format", "--dry-run", code=4)
    system.cli("tape", "erasable", "--confirm", serial)
    assert "confirmed that nothing on it is needed" in system.cli("format", "--dry-run").stdout
    run = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert run["state"] == "SUCCEEDED", system.logs()
    assert "Only a tape that LTFS cannot read" in system.cli("tape", "erasable", code=1).stderr
