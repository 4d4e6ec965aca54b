"""A library in the database: what a barcode promises, and one move at a time over all hosts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import alerts
from db.engine import Database
from db.errors import NotAllowed
from db.libraries import as_json, cleanings, inventory, promises, robot
from db.models import TapeCartridge, TapeLibrary, TapePool, now
from db.runs import admission
from db.schedules import blanks, calendar, needs, schedules
from db.states import RunState, Step
from db.tapes import cartridges
from policy.message import M
from policy.tapes.facts import CartridgeState
from tests.integration.tasks.test_run_backup_rules import a_run

NEW: dict[str, Any] = {"state": "blank", "label": None, "medium_serial": "M1"}
"""A tape of a drive of LTFS: its chip does not have the sticker's barcode."""


def row(session: Session, tape_id: str, **marks: Any) -> TapeCartridge:
    found = TapeCartridge(tape_id=tape_id, state=CartridgeState.ACTIVE, generation=1, bytes_used=0, **marks)
    session.add(found)
    session.flush()
    return found


def library(session: Session, *slots: tuple[int, str | None], **how: Any) -> TapeLibrary:
    shown = {
        "slots": [
            {"number": n, "full": code is not None, "barcode": code, "is_mail": False} for n, code in slots
        ],
        "bays": [{"number": 0, "full": False, "barcode": None, "home": None}],
        "disturbed": False,
    }
    facts = {"driver": "mtx", "host": "h1", "drives": {0: "tape0"}, "clean_with": "CLN*", **how}
    return inventory.store(session, "lib0", shown, **facts)


def test_a_new_tape_gets_a_row_with_its_barcode_and_pool(database: Database) -> None:
    """From then on barcode and chip are one cartridge."""
    with database.transaction() as session:
        assert promises.keep(session, "Y0001L9", NEW, {"Y*": "yearly"}) is None
        made = cartridges.recognise(session, NEW)
        assert made is not None
        assert (made.tape_id, made.barcode, made.medium_serial) == ("Y0001L9", "Y0001L9", "M1")
        assert made.pool is not None
        assert made.pool.name == "yearly"
        assert promises.keep(session, "Y0001L9", NEW, {"Y*": "yearly"}) is None


def test_a_known_tape_gets_its_barcode(database: Database) -> None:
    """A tape that was used before there was a library keeps its row."""
    with database.transaction() as session:
        known = row(session, "TP20261001", medium_serial="M1")
        assert promises.keep(session, "A00001L9", NEW, {}) is None
        assert known.barcode == "A00001L9"
        assert len(inventory.by_barcode(session, ["A00001L9"])) == 1


@pytest.mark.parametrize(
    ("promised", "found", "medium"),
    [
        ({"medium_serial": "M2"}, None, NEW),
        ({"medium_serial": "M2"}, {"medium_serial": "M1"}, NEW),
        ({"volume_uuid": "u2"}, None, {**NEW, "volume_uuid": "u1"}),
        (None, {"medium_serial": "M1", "barcode": "OTHERL9"}, NEW),
        (None, None, {**NEW, "barcode": "OTHERL9"}),
        ({"medium_serial": "M1"}, None, {**NEW, "barcode": "OTHERL9"}),
    ],
    ids=[
        "another chip",
        "two rows",
        "another volume",
        "another sticker",
        "own barcode",
        "own barcode, one row",
    ],
)
def test_a_barcode_that_lies_leaves_nothing_to_be_written_to(
    database: Database, promised: dict[str, Any] | None, found: dict[str, Any] | None, medium: dict[str, Any]
) -> None:
    """Sticker, chip and row disagree: every cartridge in question becomes unknown, and no row changes its
    barcode."""
    with database.transaction() as session:
        rows = [row(session, "PROMISED", barcode="A00001L9", **promised)] if promised else []
        rows += [row(session, "FOUND", **found)] if found else []
        before = [each.barcode for each in rows]
        broken = promises.keep(session, "A00001L9", medium, {})
        assert broken is not None
        assert "A00001L9" in str(broken.reason)
        promises.doubt(session, broken, "A00001L9", medium)
        session.expire_all()
        assert [each.barcode for each in rows] == before
        assert [each.state for each in rows] == [CartridgeState.UNKNOWN] * len(rows)
        left = cartridges.recognise(session, medium)
        assert left is None or left.state is CartridgeState.UNKNOWN


def test_a_barcode_that_two_rows_have_promises_nothing(database: Database) -> None:
    with database.transaction() as session:
        row(session, "A", barcode="A00001L9")
        row(session, "B", barcode="A00001L9")
        assert inventory.by_barcode(session, ["A00001L9"]) == {}
        assert inventory.disputed(session, ["A00001L9", "B"]) == {"A00001L9"}


def test_one_move_at_a_time(database: Database) -> None:
    """Over all drives and hosts: while one is open, no other can be entered, and one host has the robot."""
    with database.transaction() as session:
        library(session, (1, "A00001L9"))
        number = move(session)
    with pytest.raises(IntegrityError), database.transaction() as session:
        move(session)
    with database.transaction() as session:
        left = robot.unfinished(session, "lib0")
        assert left is not None
        assert left.id == number
        robot.end(session, number, M("It was cut off."))
        move(session)
    first, second = database.stay(), database.stay()
    try:
        assert robot.try_lock(first, "lib0")
        assert not robot.try_lock(second, "lib0")
        assert robot.try_lock(second, "lib1")
        first.close()
        assert robot.try_lock(second, "lib0")
    finally:
        first.close()
        second.close()


def move(session: Session, verb: str = "load", target: int = 0, run_id: int | None = None) -> int:
    return robot.begin(session, "lib0", verb, 1, target, barcode="A00001L9", run_id=run_id, asked_by="li")


def test_a_person_who_moves_a_drives_tape_has_the_drive(database: Database) -> None:
    """No run is admitted until the move is closed; and where a run has the drive, no person moves its
    tape."""
    with database.transaction() as session:
        library(session, (1, "A00001L9"))
        run = a_run(session)
        run.state = RunState.QUEUED
        session.flush()
        number = move(session)
        assert admission.admit(session, "tape0") is None
        robot.end(session, number)
        assert admission.admit(session, "tape0") == run
        with pytest.raises(NotAllowed, match="tape0"):
            admission.check_free(session, "tape0")
        admission.check_free(session, "tape1")


def test_a_runs_own_move_and_an_abandoned_one_keep_no_drive(database: Database) -> None:
    with database.transaction() as session:
        library(session, (1, "A00001L9"))
        run = a_run(session)
        number = move(session, run_id=run.id)
        assert not robot.is_served_by_hand(session, "tape0")
        robot.end(session, number)
        left = robot.begin(session, "lib0", "unload", 0, 1, barcode=None, run_id=None, asked_by="li")
        assert robot.is_served_by_hand(session, "tape0")
        assert not robot.is_served_by_hand(session, "tape1")
        session.get_one(robot.RobotMove, left).begun_at = now() - robot.ABANDONED
        session.flush()
        assert not robot.is_served_by_hand(session, "tape0")


def test_what_was_exported_is_known_until_it_moves_again(database: Database) -> None:
    with database.transaction() as session:
        library(session, (1, "A00001L9"))
        robot.end(session, move(session, "export", target=9))
        assert robot.exported(session, "lib0") == {"A00001L9"}
        robot.end(session, move(session, "move", target=2))
        assert robot.exported(session, "lib0") == frozenset()


def test_each_host_enters_its_own_drives(database: Database) -> None:
    """A library that two hosts share has the drives of both; one that moves to another number has one
    number."""
    with database.transaction() as session:
        library(session, (1, None))
        library(session, (1, None), host="h2", drives={1: "tape1"})
        assert inventory.get(session, None).drives == {"0": "tape0", "1": "tape1"}
        library(session, (1, None), host="h2", drives={2: "tape1"})
        found = inventory.get(session, "lib0")
        assert found.drives == {"0": "tape0", "2": "tape1"}
        assert inventory.of_drive(session, "tape1") == found
        assert inventory.of_drive(session, "tape9") is None


def test_what_is_in_each_slot_has_a_clear_state(database: Database) -> None:
    with database.transaction() as session:
        row(session, "TP20261101", barcode="A00001L9", label="TP20261101")
        slots = enumerate(["A00001L9", "B00001L9", "CLNU01L1", "TWICEL9", "TWICEL9", None], 1)
        found = library(session, *slots)
        found.inventory["slots"].append({"number": 7, "full": True, "barcode": None, "is_mail": True})
        shown = as_json.library(session, found)
    whats = [slot["what"] for slot in shown["slots"]]
    assert whats == ["tape", "new", "cleaning", "twice", "twice", "empty", "unread"]
    assert shown["slots"][0]["label"] == "TP20261101"
    assert shown["drives"][0]["what"] == "empty"


def test_what_needs_a_look_inside_is_among_what_needs_somebody(database: Database) -> None:
    """An old inventory, and a move that its worker did not finish; a move under way needs nobody."""

    def said(session: Session) -> str:
        session.expire_all()
        return " ".join(str(each.message) for each in alerts.current(session, lambda _: False))

    with database.transaction() as session:
        library(session, (1, "A00001L9"))
        left = session.get_one(robot.RobotMove, move(session))
        assert "ibrary" not in said(session)
        left.begun_at = now() - 2 * robot.ABANDONED
        session.flush()
        assert "was cut off (A00001L9)" in said(session)
        robot.end(session, left.id)
        inventory.is_old(session, "lib0", M("the door is open"))
        assert "the door is open" in said(session)


def test_an_old_inventory_is_old_until_it_is_read(database: Database) -> None:
    with database.transaction() as session:
        library(session, (1, None))
        inventory.is_old(session, "lib0", M("the door is open"))
        session.expire_all()
        assert inventory.get(session, "lib0").old is not None
        assert library(session, (1, None)).old is None


def test_the_calendar_takes_each_blank_once_and_of_its_own_pool(database: Database) -> None:
    """As a run that fetches its tape: a schedule of a pool gets none that is outside of it, and two drives do
    not both count on the same tape."""
    moment = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    with database.transaction() as session:
        pool = TapePool(name="vault")
        session.add(pool)
        row(session, "V0001L9", barcode="V0001L9", pool=pool).generation = 0
        library(session, (1, "N0001L9"), (2, "V0001L9"), (3, "N0002L9"), drives={0: "tape0", 1: "tape1"})
        for name, drive, policy in (
            ("a", "tape0", "current_month"),
            ("b", "tape1", "current_month"),
            ("v", "tape0", "pool:vault"),
            ("w", "tape0", "pool:other"),
        ):
            schedules.put(
                session,
                name,
                drive=drive,
                sources=["/data"],
                tape_policy=policy,
                time_zone="UTC",
                schedule_config={"day": 1, "at": "02:00"},
            )
        slots = {
            entry.planned.schedule: entry.slot
            for entry in calendar.entries(session, moment, moment + timedelta(days=9))
        }
        assert slots == {"a": 1, "b": 3, "v": 2, "w": None}


def test_the_end_of_the_blank_tapes_is_announced_before_the_month_ends(database: Database) -> None:
    """For the first run that finds none; not once another blank tape is there, and not by an inventory that
    nobody believes. The run itself asks for a tape in the library, not in its drive."""
    moment = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)

    def said(session: Session) -> list[str]:
        found = alerts.alerts(session, moment, [], lambda _: False)
        return [str(each.message) for each in found if "blank tapes" in str(each.message)]

    with database.transaction() as session:
        library(session, (1, "N0001L9"), drives={0: "tape0", 1: "tape1"})
        for name, drive in (("a", "tape0"), ("b", "tape1"), ("alone", "tape9")):
            schedules.put(
                session,
                name,
                drive=drive,
                sources=["/data"],
                time_zone="UTC",
                schedule_config={"day": 1, "at": "02:00"},
            )
        ends = "The blank tapes of library lib0 run out: b finds none at 2026-12-01 02:00 (UTC)."
        assert said(session) == [ends]
        # Three weeks before it is another month's matter, unless the run is in this month.
        early = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)
        assert blanks.ends(session, early) == []
        schedules.get(session, "b").schedule_config = {"day": 28, "at": "02:00"}
        schedules.get(session, "a").schedule_config = {"day": 27, "at": "02:00"}
        session.flush()
        assert [entry.planned.schedule for entry in blanks.ends(session, early)] == ["b"]
        for name in "ab":
            schedules.get(session, name).schedule_config = {"day": 1, "at": "02:00"}
        session.flush()
        ahead = calendar.entries(session, moment, moment + timedelta(days=9))
        first, second = (next(each for each in ahead if each.planned.schedule == name) for name in "ab")
        assert "which the library brings from slot 1" in str(needs.needed(first))
        assert str(needs.needed(second)) == "put a blank tape into library lib0"
        assert str(needs.preparation(second)) == (
            "Before 2026-12-01 02:00 (UTC): put a blank tape into library lib0 for b."
        )
        inventory.is_old(session, "lib0", M("the door is open"))
        session.expire_all()
        assert said(session) == []
        library(session, (1, "N0001L9"), (2, "N0002L9"), drives={0: "tape0", 1: "tape1"})
        session.expire_all()
        assert said(session) == []


def test_the_hours_of_a_drive_count_from_its_last_cleaning(database: Database) -> None:
    """Work before it, work at another drive and steps that only move a tape count for nothing; a load of a
    tape is no cleaning, and neither is one that failed."""

    def work(session: Session, begun: float, hours: float | None, **run: Any) -> None:
        at_work = a_run(session)
        at_work.drive = run.get("drive", "tape0")
        step = next(each for each in at_work.steps if each.step is run.get("step", Step.RUN_BACKUP))
        step.started_at = now() - timedelta(hours=begun)
        step.finished_at = None if hours is None else step.started_at + timedelta(hours=hours)
        at_work.state = RunState.SUCCEEDED
        session.flush()

    def clean(session: Session, before: float, barcode: str = "CLNU01L1", outcome: Any = None) -> None:
        number = robot.begin(session, "lib0", "load", 8, 0, barcode=barcode, run_id=None, asked_by="cleaning")
        robot.end(session, number, outcome)
        session.get_one(robot.RobotMove, number).ended_at = now() - timedelta(hours=before)
        session.flush()

    with database.transaction() as session:
        row_ = library(session, (1, "A00001L9"))
        work(session, 100, 30)
        work(session, 50, 2)
        work(session, 50, 9, drive="tape1")
        work(session, 50, 9, step=Step.PRECHECK)

        def hours() -> float:
            return round(cleanings.hours_since(session, row_, "tape0"), 2)

        assert hours() == 32
        clean(session, 20, barcode="A00001L9")
        clean(session, 20, outcome=M("It failed."))
        assert hours() == 32
        clean(session, 49)
        assert hours() == 1
        work(session, 3, None)
        assert hours() == 4


def test_a_cleaning_cartridge_that_has_done_its_work_is_among_what_needs_somebody(database: Database) -> None:
    """By the count, or because the drive reports it as expired; it is not chosen again."""
    with database.transaction() as session:
        found = library(session, (1, "CLNU01L1"))
        assert inventory.has_cleaned(session, "lib0", "CLNU01L1", is_expired=False, max_uses=2) == (1, False)
        assert inventory.cleaner(found, 2) == ("CLNU01L1", 1)
        assert inventory.has_cleaned(session, "lib0", "CLNU01L1", is_expired=False, max_uses=2) == (2, True)
        assert inventory.cleaner(found, 2) is None
        said = [str(each.message) for each in alerts.current(session, lambda _: False)]
        assert "Cleaning cartridge CLNU01L1 is worn out." in said
        assert inventory.has_cleaned(session, "lib0", "CLNU02L1", is_expired=True, max_uses=2) == (1, True)
