"""A run waits for its tape, or for its drive, through the real chain."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from db.models import ChainRun, FormatPermit
from tape.hostlock import HostLock
from tape.virtual import record as virtual_record
from tape.virtual import shelf
from tests.system import System


def test_a_run_waits_for_its_tape_where_the_schedule_says_so(system: System, source: Path) -> None:
    """wait_for_tape: the run gives the drive back, exit code 4 reports that somebody is needed, and it
    continues when a blank tape is in."""
    system.schedule("monthly", source, wait_for_tape_seconds=3600)
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for_state(run_id, "WAITING_FOR_TAPE")
    assert "There is no tape in drive tape0" in system.cli("status", code=4).stdout
    assert "waits until" in system.cli("drive", "status", code=4).stdout
    system.start_beat()
    system.insert_blank()
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    system.wait_for(lambda: system.announced()[-1] == "success", "the last message")


def test_a_tape_that_cannot_be_mounted_is_not_tried_at_each_look(system: System, source: Path) -> None:
    """Each try wears it: the run leaves it alone for a while, until an operator has done something at the
    drive, and then continues."""
    system.schedule("monthly", source, wait_for_tape_seconds=3600)
    system.environment["TAPELINE_RECOVER_SECONDS"] = "0.5"
    system.start("control", "tape")
    system.insert_blank()
    barcode = shelf.inserted(system.drive.path)
    assert barcode
    cannot = {"at": "mount", "error": "unreadable", "times": 9}
    shelf.set_faults(system.drive.path, barcode, [cannot])
    run_id = system.run_schedule("monthly")
    system.wait_for_state(run_id, "WAITING_FOR_TAPE")
    system.start_beat()
    system.wait_for(lambda: system.log("tape").count(b"tapeline.look[") >= 3, "looks")
    with shelf.edit(system.drive.path, barcode) as record:
        assert [fault.times for fault in record.faults] == [8]
    assert "is tried again in 10 min" in system.cli("runs", "show", str(run_id)).stdout
    shelf.set_faults(system.drive.path, barcode, [])
    system.cli("drive", "check")
    assert system.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"


def test_who_waits_for_a_tape_is_told_of_each_wrong_one_and_reminded(system: System, source: Path) -> None:
    """One message when it begins to wait, one when another wrong tape is in, a reminder at intervals;
    at the deadline the run fails."""
    system.schedule("monthly", source, wait_for_tape_seconds=3600)
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for_state(run_id, "WAITING_FOR_TAPE")
    system.insert_blank()
    assert system.drive.format("PHOTOS").return_code == 0
    system.start_beat()
    system.wait_for(lambda: system.announced() == ["waiting_for_tape"] * 2, "word of the other wrong tape")
    assert "PHOTOS" in str(system.json("runs", "show", str(run_id))["reason"])
    system.kill("control")
    system.environment["TAPELINE_REMINDER_SECONDS"] = "2"
    system.start("control")
    system.wait_for(lambda: len(system.announced()) >= 4, "two reminders")

    def expire(session: object) -> None:
        session.get(ChainRun, run_id).wait_until = datetime.now(UTC)  # type: ignore[attr-defined]

    system.ask(expire)
    assert "in time" in str(system.wait_for_state(run_id, "FAILED")["reason"])
    system.wait_for(lambda: system.announced()[-1] == "failed", "the last message")


def test_a_label_that_does_not_come_in_time_is_waited_for(system: System, source: Path) -> None:
    """The drive does not answer twice; the step reports it once, tries again, and the run succeeds."""
    system.insert_blank()
    slow = [{"at": "look", "error": "slow", "nth": number, "seconds": 60.0} for number in (1, 2)]
    shelf.set_faults(system.drive.path, "A00001L9", slow)
    system.environment["TAPELINE_CONFIG"] = str(system.folder / "tapeline.toml")
    (system.folder / "tapeline.toml").write_text(
        f'[drives.tape0]\ndriver = "virtual"\npath = "{system.drive.path}"\nlabel_limit_seconds = 0.5\n'
    )
    system.schedule("monthly", source)
    system.start("control", "tape")
    run = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert run["state"] == "SUCCEEDED", run
    story = [json.dumps(event["message"]) for event in run["events"]]
    assert len([line for line in story if "Trying again" in line]) == 1


def test_a_format_that_cannot_begin_is_waited_for(system: System, source: Path) -> None:
    """Another program uses the drive: that is no failed format, regardless of the schedule's rule."""
    system.insert_blank()
    system.schedule("monthly", source, on_format_failure="continue")
    system.start("control", "tape")
    with HostLock(system.drive.path / shelf.MOUNT_LOCK):
        run_id = system.run_schedule("monthly")
        system.wait_for(lambda: "Trying again" in system.cli("runs", "show", str(run_id)).stdout, "patience")
    run = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert run["state"] == "SUCCEEDED", run
    assert virtual_record.read(shelf.folder_of(system.drive.path, "A00001L9")).formats == 1
    [permit] = system.ask(lambda session: session.scalars(select(FormatPermit)).all())
    assert (permit.part, permit.outcome["ok"]) == (1, True)
