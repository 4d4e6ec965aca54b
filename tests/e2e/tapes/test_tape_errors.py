"""What becomes known of a tape that fails at its drive, and of no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tape.virtual import shelf
from tests.system import System

BARCODE = "A00001L9"


@pytest.fixture
def source(system: System) -> Path:
    folder = system.folder / "source"
    folder.mkdir()
    (folder / "file").write_bytes(b"content" * 1000)
    return folder


def ended(system: System) -> str:
    """The state in which a run of the schedule ends."""
    return str(system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")["state"])


def test_a_write_error_on_a_cartridge_without_a_serial(system: System, source: Path) -> None:
    """Precheck saw a blank tape that nothing tells; what was mounted is marked all the same."""
    system.insert_blank(BARCODE)
    with shelf.edit(system.drive.path, BARCODE) as record:
        record.medium_serial = ""
    shelf.set_faults(system.drive.path, BARCODE, [{"at": "write", "nth": 2, "error": "eio"}])
    system.schedule("monthly", source)
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    assert system.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "FAILED"
    [tape] = system.json("tape", "list")
    assert tape["state"] == "error"


def test_a_tape_that_could_not_be_mounted(system: System, source: Path) -> None:
    """It is known before the next night, makes no set, and is over once the volume was checked."""
    system.insert_blank(BARCODE)
    system.schedule("monthly", source)
    system.start("control", "tape")
    assert (
        system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    )
    system.cli("precheck", "monthly", "--manual")
    shelf.set_faults(system.drive.path, BARCODE, [{"at": "mount", "error": "unreadable"}])
    failed = system.run_schedule("monthly")
    assert system.wait_for_state(failed, "SUCCEEDED", "FAILED")["state"] == "FAILED"
    assert len(system.json("sets", "list")) == 1
    assert "could not be mounted" in system.cli("precheck", "monthly", "--manual", code=4).stdout
    assert "could not be mounted" in system.cli("format", "--dry-run", code=4).stdout
    assert "would append" not in system.cli("format", "--dry-run", code=4).stdout
    system.cli("drive", "check")
    assert "could not be mounted" not in system.cli("precheck", "monthly", "--manual").stdout
    assert (
        system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    )


def test_a_lock_that_a_program_has_set_is_no_write_error(system: System, source: Path) -> None:
    """The tape is refused before it is mounted, and nothing is marked; a write error of before is marked."""
    system.insert_blank(BARCODE)
    system.schedule("monthly", source)
    system.start("control", "tape")
    assert (
        system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    )
    for lock, state in (("locked", "active"), ("read_only", "error")):
        with shelf.edit(system.drive.path, BARCODE) as record:
            assert record.volume
            setattr(record.volume, lock, True)
        run_id = system.run_schedule("monthly")
        assert system.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "FAILED"
        told = system.cli("runs", "show", str(run_id)).stdout
        assert ("no write has failed" in told) == (lock == "locked")
        [tape] = system.json("tape", "list")
        assert tape["state"] == state
