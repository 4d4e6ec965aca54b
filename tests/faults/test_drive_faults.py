"""A drive, a tape or a format program that fails, hangs or lies."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from db.models import Drive, Notification
from tape.virtual import shelf
from tests.faults.fragile import FragileSystem
from tests.faults.proof import SUCCESS, End, prove
from tests.faults.trial import LABEL, MB, RECORD, Place, Trial

BLANK, KNOWN = False, True


def failed(
    reason: str, *messages: str, formats: int = 0, cartridge: str | None = None, stored: str | None = None
) -> End:
    said = "tape_error" if cartridge == "error" else "failed"
    return End("FAILED", reason, formats, cartridge, stored, (*messages, said))


WENT_ON = End(formats=0, messages=("format_warning", "success"))
NOT_THIS_MONTHS = "not this month's"
NOT_THE_SAME = "is not the one that precheck saw"
FORMAT_FAILED = "The format failed"
UNKNOWN = "in state 'unknown'"
HANG = {"at": "format", "error": "hang", "seconds": 60.0}
SLOW = {"at": "format", "error": "slow", "seconds": 60.0}
HANG_AFTER = {"at": "format", "error": "hang_after", "seconds": 60.0}


def fault(error: str) -> dict[str, Any]:
    return {"at": "format", "error": error}


FORMATS: list[tuple[dict[str, Any], str, bool, End]] = [
    (fault("eio"), "continue", BLANK, failed(FORMAT_FAILED, "format_warning")),
    (fault("eio"), "fail", BLANK, failed(FORMAT_FAILED)),
    (fault("eio"), "continue", KNOWN, WENT_ON),
    (fault("eio"), "fail", KNOWN, failed(FORMAT_FAILED, cartridge="active")),
    (fault("lie_ok"), "continue", BLANK, failed(FORMAT_FAILED, "format_warning")),
    (fault("lie_ok"), "fail", BLANK, failed(FORMAT_FAILED)),
    (fault("lie_ok"), "continue", KNOWN, WENT_ON),
    (fault("lie_ok"), "fail", KNOWN, failed("not a new, empty one", cartridge="active")),
    (fault("lie_error"), "continue", BLANK, SUCCESS),
    (fault("lie_error"), "fail", KNOWN, SUCCESS),
    (fault("half"), "continue", BLANK, failed(FORMAT_FAILED, "format_warning")),
    (fault("half"), "fail", BLANK, failed(FORMAT_FAILED)),
    (fault("half"), "continue", KNOWN, failed(FORMAT_FAILED, "format_warning", cartridge="unknown")),
    (fault("half"), "fail", KNOWN, failed(FORMAT_FAILED, cartridge="unknown")),
    (
        fault("wrong_label"),
        "continue",
        BLANK,
        failed(FORMAT_FAILED, "format_warning", formats=1),
    ),
    (fault("wrong_label"), "fail", BLANK, failed(FORMAT_FAILED, formats=1)),
    (
        fault("wrong_label"),
        "continue",
        KNOWN,
        failed(FORMAT_FAILED, "format_warning", formats=1, cartridge="unknown"),
    ),
    (fault("wrong_label"), "fail", KNOWN, failed(FORMAT_FAILED, formats=1, cartridge="unknown")),
    (HANG, "continue", BLANK, failed(FORMAT_FAILED, "format_warning")),
    (HANG, "fail", KNOWN, failed(FORMAT_FAILED, cartridge="active")),
    (HANG_AFTER, "fail", BLANK, SUCCESS),
    (HANG_AFTER, "continue", KNOWN, SUCCESS),
]


@pytest.mark.parametrize(
    ("planned", "policy", "known", "end"),
    [
        pytest.param(*row, id=f"{row[0]['error']}, {row[1]}, {'known' if row[2] else 'blank'}")
        for row in FORMATS
    ],
)
def test_a_format_that_goes_wrong(
    system: FragileSystem, planned: dict[str, Any], policy: str, known: bool, end: End
) -> None:
    """What is read back decides, not the return code; a tape that is not known to be good is not written."""
    trial = Trial(system, tape={}, faults=[planned], known=known, on_format_failure=policy)
    trial.begin()
    prove(trial, end)


def test_a_format_cut_off_at_its_limit(system: FragileSystem) -> None:
    """A format that does not end in time is ended: the tape is neither blank nor formatted, and unknown."""
    trial = Trial(system, tape={}, known=True, on_format_failure="fail")
    trial.change(format_seconds=60.0)
    trial.begin()
    prove(trial, failed(FORMAT_FAILED, cartridge="unknown"))


def at(place: str, error: str, **how: Any) -> dict[str, Any]:
    return {"at": place, "error": error, **how}


def spoiled(reason: str) -> End:
    """The tape must not be written again; what was sealed stays."""
    return failed(reason, formats=1, cartridge="error", stored="incomplete")


TAPES: list[tuple[str, list[dict[str, Any]], dict[str, Any], End]] = [
    ("write error", [at("write", "eio", after_bytes=2 * MB)], {}, spoiled("cannot be written")),
    ("write refused", [at("write", "erofs", after_bytes=2 * MB)], {}, spoiled("cannot be written")),
    ("first write fails", [at("write", "eio", nth=1)], {}, spoiled("cannot be written")),
    ("close fails", [at("close", "eio", nth=4)], {}, spoiled("cannot be written")),
    ("seal fails", [at("seal", "eio", nth=3)], {}, spoiled("index")),
    ("seal refused", [at("seal", "erofs", nth=3)], {}, spoiled("index")),
    ("slow writes", [at("write", "slow", nth=20, seconds=1.5)], {}, SUCCESS),
    ("slow seal", [at("seal", "slow", nth=2, seconds=4.0)], {}, SUCCESS),
    (
        "unreadable at the first look",
        [at("look", "unreadable", nth=1)],
        {},
        failed(NOT_THIS_MONTHS),
    ),
    (
        "unreadable after the format",
        [at("look", "unreadable", nth=4)],
        {},
        End(messages=("format_warning", "success")),
    ),
    (
        "cannot be mounted",
        [at("mount", "unreadable")],
        {},
        # No set is begun on a volume that does not mount.
        failed("cannot be read", formats=1, cartridge="active"),
    ),
]


@pytest.mark.parametrize(("faults", "tape", "end"), [pytest.param(*row[1:], id=row[0]) for row in TAPES])
def test_a_tape_that_goes_wrong(
    system: FragileSystem, faults: list[dict[str, Any]], tape: dict[str, Any], end: End
) -> None:
    """What was sealed is catalogued and readable, nothing else; a tape that failed is not written again."""
    trial = Trial(system, tape=tape, faults=faults)
    trial.begin()
    prove(trial, end)


FULL: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("on a write", [at("write", "full", after_bytes=2 * MB)], {}),
    ("on a close", [at("close", "full", nth=5)], {}),
    ("on a seal", [at("seal", "full", nth=3)], {}),
    ("at its capacity", [], {"capacity": 4 * MB}),
]


@pytest.mark.parametrize(("faults", "tape"), [pytest.param(*row[1:], id=row[0]) for row in FULL])
def test_a_full_tape(system: FragileSystem, faults: list[dict[str, Any]], tape: dict[str, Any]) -> None:
    """What was sealed stays catalogued and readable; the run waits for the next tape to go on with."""
    trial = Trial(system, tape=tape, faults=faults)
    trial.begin()
    prove(trial, End("WAITING_FOR_TAPE", "full", 1, "full", "writing", ("waiting_for_tape",)))


WAITS = End("WAITING_FOR_TAPE", FORMAT_FAILED, 0, "unknown", None, ("format_warning", "waiting_for_tape"))


def test_a_format_cut_half_way_where_the_run_may_wait(system: FragileSystem) -> None:
    """The run waits for another tape, and the one that was cut off is left alone."""
    trial = Trial(system, tape={}, faults=[fault("half")], known=True, wait_for_tape_seconds=3600)
    trial.begin()
    prove(trial, WAITS)
    _looked_at_again(system)
    prove(trial, WAITS)


def _looked_at_again(system: FragileSystem) -> None:
    """Beat has the same tape looked at, which is no news."""
    before = datetime.now(UTC)
    system.wait_for(lambda: system.ask(_last_look) > before, "another look")
    system.settle()


def _last_look(session: Any) -> datetime:
    moment = session.get_one(Drive, "tape0").medium_at
    assert moment
    return moment


def test_a_tape_that_gets_past_precheck_and_gets_no_permit_is_waited_out(system: FragileSystem) -> None:
    """A blank tape will do, but this one is write-protected: the run waits, says so once with the permit's
    reason, and goes on by itself with another one."""
    trial = Trial(system, tape={"write_protected": True}, wait_for_tape_seconds=3600)
    trial.begin()
    waits = End("WAITING_FOR_TAPE", "write-protect switch", 0, None, None, ("waiting_for_tape",))
    prove(trial, waits)
    with system.database.transaction() as session:
        of_run = Notification.run_id == trial.run_id
        of_waiting = select(Notification).where(of_run, Notification.event == "waiting_for_tape")
        assert "move its switch to writable" in session.scalars(of_waiting).one().facts["remedy"]["id"]
    _looked_at_again(system)
    prove(trial, waits)
    trial.barcode += "B"
    trial.insert(trial.barcode)
    system.wait_for(lambda: trial.state != "WAITING_FOR_TAPE", "the run to go on")
    prove(trial, End(messages=("waiting_for_tape", "success")))


def test_the_next_tape_after_a_format_cut_half_way(system: FragileSystem) -> None:
    """With a blank tape the run goes on by itself, in a part and under a permit of its own."""
    trial = Trial(system, tape={}, faults=[fault("half")], known=True, wait_for_tape_seconds=3600)
    trial.begin()
    prove(trial, WAITS)
    trial.barcode += "B"
    trial.insert(trial.barcode)
    trial.formats_before = 0
    system.wait_for(lambda: trial.state != "WAITING_FOR_TAPE", "the run to go on")
    prove(trial, End(messages=("format_warning", "waiting_for_tape", "success")))


def test_the_next_tape_after_a_format_that_failed(system: FragileSystem) -> None:
    """The tape is still blank, but this run has had its format: it waits, says so once, and goes on by itself
    with another one."""
    trial = Trial(system, tape={}, faults=[fault("eio")], wait_for_tape_seconds=3600)
    waits = End("WAITING_FOR_TAPE", FORMAT_FAILED, 0, None, None, ("format_warning", "waiting_for_tape"))
    trial.begin()
    prove(trial, waits)
    _looked_at_again(system)
    prove(trial, waits)
    trial.barcode += "B"
    trial.insert(trial.barcode)
    system.wait_for(lambda: trial.state != "WAITING_FOR_TAPE", "the run to go on")
    prove(trial, End(messages=("format_warning", "waiting_for_tape", "success")))


CHANGED = [
    (RECORD, failed(NOT_THE_SAME)),
    (LABEL, failed(NOT_THIS_MONTHS, formats=1, cartridge="active")),
]


@pytest.mark.parametrize(("place", "end"), [pytest.param(*row, id=str(row[0])) for row in CHANGED])
@pytest.mark.parametrize("other", ["blank", "known"])
def test_a_tape_that_is_changed_on_the_way(system: FragileSystem, place: Place, end: End, other: str) -> None:
    """Another tape than the one that precheck saw, good as it may be, is neither formatted nor written."""
    stranger = Trial(system, tape={}, known=other == "known")
    before = stranger.record
    trial = Trial(system, tape=place.tape)
    with place.held(trial):
        shelf.insert(system.drive.path, stranger.barcode)
    system.wait_for(lambda: trial.state != "RUNNING", "the end")
    assert (stranger.record.volume, stranger.record.formats) == (before.volume, before.formats)
    shelf.insert(system.drive.path, trial.barcode)
    prove(trial, end)
