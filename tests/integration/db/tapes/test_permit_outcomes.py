"""What a format under a permit leaves: its outcome, its cartridge, a label that stays promised."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db import freezes, leaps
from db.engine import Database
from db.models import ClockMark, Options, RunEvent, RunNotes, now
from db.schedules import schedules
from db.tapes import cartridges, permits
from policy.errors import UsageError
from policy.message import M, Message
from policy.tapes.facts import CartridgeState, TapePolicy
from policy.tapes.permit import FormatFacts
from tests.integration.db.tapes.formatting import SET, TAPE, about_to_format
from tests.integration.db.tapes.test_permits import ALLOWED, NOVEMBER, run_at, tape


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ({"medium_serial": "m1"}, {"medium_serial": "m1"}, True),
        ({"medium_serial": "m1"}, {"medium_serial": "m2"}, False),
        ({"barcode": "A"}, {"barcode": "A"}, True),
        ({"barcode": "A"}, {"barcode": "B"}, False),
        ({"medium_serial": "m1", "barcode": "A"}, {"medium_serial": "m1", "barcode": "B"}, True),
        ({"medium_serial": "m1", "barcode": "A"}, {"barcode": "A"}, True),
        ({"medium_serial": "m1"}, {"barcode": "A"}, None),
        ({"medium_serial": "m1"}, {}, None),
        ({}, {"medium_serial": "m1"}, None),
        ({"volume_uuid": "u", "label": "L"}, {"volume_uuid": "u", "label": "L"}, None),
    ],
)
def test_a_cartridge_after_a_format_is_told_by_what_survives_it(
    database: Database, before: dict[str, Any], after: dict[str, Any], same: bool | None
) -> None:
    """Its chip, else its barcode; a volume's marks and its label do not survive."""
    blank = {"state": "blank", "label": None}
    with database.transaction() as session:
        permit = permits.store(session, run_at(session, "tape0"), {**blank, **before}, "TP20251101", ALLOWED)
        assert permits.is_same_cartridge(permit, {**blank, **after}) is same


BLANK = {"state": "blank", "label": None}


CHIP = {**BLANK, "medium_serial": "m1"}


@pytest.mark.parametrize(
    ("outcome", "medium", "is_tried", "spent"),
    [
        (None, CHIP, True, False),
        ({"ok": True, "started": True}, CHIP, True, False),
        ({"ok": False, "started": True}, CHIP, False, True),
        ({"ok": False, "started": True}, {**CHIP, "medium_serial": "m2"}, True, False),
        ({"ok": False, "started": False}, CHIP, True, True),
        ({"ok": False, "started": False}, CHIP, False, False),
        ({"ok": False, "started": True}, BLANK, True, True),
        ({"ok": False, "started": True}, BLANK, False, False),
        # It has the label that was asked for, after all.
        ({"ok": False, "started": True}, {**CHIP, "label": "TP20251101", "empty": True}, True, False),
        ({"ok": False, "started": True}, {**CHIP, "label": "TP20251101", "empty": False}, True, True),
        ({"ok": False, "started": True}, {**CHIP, "label": "TP20251102", "empty": True}, True, True),
    ],
)
def test_a_tape_whose_format_failed(
    database: Database, outcome: dict[str, Any] | None, medium: dict[str, Any], is_tried: bool, spent: bool
) -> None:
    """It is not formatted again by itself; another is, or one that an operator wants tried again."""
    with database.transaction() as session:
        run = run_at(session, "tape0")
        permit = permits.store(session, run, CHIP, "TP20251101", ALLOWED)
        permits.consume(session, permit.id, now())
        run.tape_failed = CHIP if is_tried else None
        if outcome is not None:
            permits.close(session, permit.id, outcome)
            session.refresh(permit)
        assert permits.has_failed(permit) is (outcome is not None and not outcome["ok"])
        assert permits.is_spent_on(run, permit, medium) is spent


def test_the_first_outcome_is_the_outcome(database: Database) -> None:
    """Why a format failed is read from it, where it is known."""
    why = M("mkltfs ended with {code}.", code=1)
    with database.transaction() as session:
        run = run_at(session, "tape0")
        permit = permits.store(session, run, CHIP, "TP20251101", ALLOWED)
        permits.consume(session, permit.id, now())
        assert permits.failure(permit) is None
        permits.close(session, permit.id, {"ok": False, "started": True, "failure": why.to_json()})
        permits.close(session, permit.id, {"ok": True})
        session.refresh(permit)
        assert permit.outcome_at is not None
        assert (permits.has_failed(permit), permits.failure(permit)) == (True, why)


def test_a_cartridge_in_doubt_is_marked_once_and_told(database: Database) -> None:
    """Nothing writes on it from here on; a tape that nobody knows has no row to mark."""
    with database.transaction() as session:
        run = about_to_format(session)
        known = cartridges.find(session, "TP20241015")
        assert known
        for _ in range(2):
            permits.doubt(session, run, TAPE)
            session.expire_all()
            assert known.state is CartridgeState.UNKNOWN
        permits.doubt(session, run, tape("m9"))
        told = [event for event in session.query(RunEvent).filter_by(run_id=run.id) if event.level == "error"]
        assert [(event.step, str(Message.from_json(event.message))) for event in told] == [
            ("format_tape", "Cartridge TP20241015 is marked 'unknown': an operator decides.")
        ]


@pytest.mark.parametrize(("used", "closed", "doubted"), [
    (True, False, True), (True, True, False), (False, False, False),
])  # fmt: skip
def test_what_nobody_has_read_after_a_format_is_in_doubt(
    database: Database, used: bool, closed: bool, doubted: bool
) -> None:
    """Of this run; not what another one is about to format."""
    with database.transaction() as session:
        run, other = about_to_format(session), run_at(session, "tape1")
        cartridges.update_label(session, original=None, medium={**tape("m2", "TP20241016"), "empty": True})
        theirs = permits.store(session, other, tape("m2", "TP20241016"), "TP20251102", ALLOWED)
        permits.consume(session, theirs.id, now())
        permit = permits.store(session, run, TAPE, "TP20251101", ALLOWED)
        if used:
            permits.consume(session, permit.id, now())
        if closed:
            permits.close(session, permit.id, {"ok": True})
        permits.doubt_unread(session, run)
        session.expire_all()
        found = {name: cartridges.find(session, name) for name in ("TP20241015", "TP20241016")}
        states = {name: row.state for name, row in found.items() if row}
        wanted = CartridgeState.UNKNOWN if doubted else CartridgeState.ACTIVE
        assert states == {"TP20241015": wanted, "TP20241016": CartridgeState.ACTIVE}


def test_a_label_that_is_to_be_kept(database: Database) -> None:
    """Where no other tape has it, and Tapeline could have written it; else the next of the month."""
    with database.transaction() as session:
        run = run_at(session, "tape0")
        mine = {**TAPE, "label": "TP20241015"}
        cartridges.update_label(session, original=None, medium=mine)
        assert permits.label_for(session, run, mine, NOVEMBER) == "TP20251101"
        run.options = Options(keep_label=True)
        assert permits.label_for(session, run, mine, NOVEMBER) == "TP20241015"
        assert permits.label_for(session, run, tape("m9"), NOVEMBER) == "TP20251101"
        assert permits.label_for(session, run, tape("m9", "TP20241015"), NOVEMBER) == "TP20251101"
        with pytest.raises(UsageError):
            permits.label_for(session, run, tape("m9", "x y"), NOVEMBER)


def test_the_rules_get_every_fact_of_a_run(database: Database) -> None:
    """Whose run and period it is, what was named, what is frozen; as of the tape that it has seen."""
    policy = TapePolicy.parse("pool:yearly")
    with database.transaction() as session:
        run = about_to_format(session)
        run.period = "2025-11"
        run.options, run.notes = Options(erase_label="TP20241015"), RunNotes(erase_sets=(SET,))
        seen = cartridges.tape_facts(session, TAPE)
        facts = permits.facts_of(session, run, seen, policy, NOVEMBER)
        expected = FormatFacts(
            seen, seen.identity, policy, NOVEMBER, run.id, "2025-11", "TP20241015", frozenset({SET})
        )
        assert facts == expected
        run.options, run.notes = Options(), RunNotes()
        bare = replace(expected, named_label=None, named_sets=None)
        assert permits.facts_of(session, run, seen, policy, NOVEMBER) == bare
        freezes.freeze(session, "now", "me", "why")
        assert permits.facts_of(session, run, seen, policy, NOVEMBER) == replace(
            bare, frozen=freezes.why(session)
        )


def test_the_rules_get_every_fact_of_a_run_to_come(database: Database) -> None:
    """Its period is that of the moment, in the schedule's zone; it has no number and has written nothing."""
    moment = datetime(2025, 10, 31, 20, 0, tzinfo=UTC)
    with database.transaction() as session:
        about_to_format(session)
        row = schedules.put(
            session, "s", drive="tape0", sources=["/data"], tape_policy="rotate", time_zone="Asia/Shanghai"
        )
        seen = cartridges.tape_facts(session, TAPE)
        expected = FormatFacts(
            seen, seen.identity, TapePolicy.parse("rotate"), moment, None, "2025-11", "TP20241015"
        )
        assert permits.facts_for(session, row, seen, moment, "TP20241015") == expected
        assert permits.facts_for(session, row, seen, moment) == replace(expected, named_label=None)


def test_a_clock_that_leapt_is_a_fact_of_now(database: Database) -> None:
    """Whatever moment is asked about."""
    with database.transaction() as session:
        run = about_to_format(session)
        session.query(ClockMark).update({"seen_at": now() - timedelta(days=4000)})
        facts = permits.facts_of(
            session, run, cartridges.tape_facts(session, TAPE), TapePolicy.parse("rotate"), NOVEMBER
        )
        doubt = leaps.doubt(session, now())
        assert doubt
        assert facts.clock_doubt
        assert facts.clock_doubt.id == doubt.id


def test_a_label_promised_to_this_run_is_free_for_it(database: Database) -> None:
    """And for no other."""
    with database.transaction() as session:
        run, other = run_at(session, "tape0"), run_at(session, "tape1")
        permits.store(session, run, tape("m1"), "TP20251101", ALLOWED)
        assert permits.label_for(session, run, tape("m2"), NOVEMBER) == "TP20251101"
        assert permits.label_for(session, other, tape("m2"), NOVEMBER) == "TP20251102"
