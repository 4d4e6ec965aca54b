"""The facts that a permit is decided from, each by itself: what was seen, used, shown, named and written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from db import freezes, leaps
from db.engine import Database
from db.errors import NotAllowed
from db.models import ChainRun, ClockMark, FormatPermit, Notes, Options, RunEvent, now
from db.schedules import schedules
from db.tapes import cartridges, erasable, permits
from policy.errors import UsageError
from policy.message import M, Message
from policy.tapes.facts import CartridgeState, TapePolicy
from policy.tapes.permit import Denial, FormatFacts
from tests.integration.test_permits import ALLOWED, NOVEMBER, run_at, stored_on, tape

SET = "20241015T000000Z-0001"
TAPE: dict[str, Any] = {
    "state": "formatted", "label": "TP20241015", "volume_uuid": "u1", "medium_serial": "m1", "empty": False,
}  # fmt: skip
SHOWN = permits.Shown((SET,), ())


def about_to_format(session: Session) -> ChainRun:
    """A run whose precheck has seen a tape with one set, which somebody has marked as not needed."""
    cartridge, _ = cartridges.update_label(session, original=None, medium=TAPE)
    stored_on(session, cartridge, SET).expired_at = now()
    run = run_at(session, "tape0")
    run.tape_seen = TAPE
    session.flush()
    return run


def denials(
    session: Session,
    run: ChainRun,
    medium: dict[str, Any] = TAPE,
    *,
    shown: permits.Shown | None = SHOWN,
    policy: str = "rotate",
) -> tuple[Denial, ...]:
    return permits.judge(
        session, run, medium, policy=TapePolicy.parse(policy), now_local=now(), shown=shown
    ).denials


def test_all_facts_together_allow_it(database: Database) -> None:
    """From here on each test takes one of them away."""
    with database.transaction() as session:
        run = about_to_format(session)
        assert denials(session, run) == ()
        [lost] = permits.judge(
            session, run, TAPE, policy=TapePolicy.parse("rotate"), now_local=now(), shown=SHOWN
        ).sets_lost
        assert lost == SET


@pytest.mark.parametrize("fact", ["state", "label", "volume_uuid", "medium_serial", "serial", "barcode"])
def test_the_tape_is_the_one_that_precheck_saw(database: Database, fact: str) -> None:
    """In all that tells it; a run whose precheck saw none formats none."""
    with database.transaction() as session:
        run = about_to_format(session)
        run.tape_seen = {**TAPE, fact: "another"}
        assert denials(session, run) == (Denial.IDENTITY_CHANGED,)
        run.tape_seen = None
        assert denials(session, run) == (Denial.IDENTITY_CHANGED,)


def test_a_part_has_one_permit(database: Database) -> None:
    """Once it is consumed there is none for this part; the next part has its own, and so has another run."""
    with database.transaction() as session:
        run, other = about_to_format(session), run_at(session, "tape1")
        other.tape_seen = TAPE
        permit = permits.store(session, run, TAPE, "TP20251101", ALLOWED)
        assert permits.used(session, run.id, 1) is None
        assert denials(session, run) == ()
        permits.consume(session, permit.id, now())
        assert permits.used(session, run.id, 1) is permit
        assert denials(session, run) == (Denial.ALREADY_USED,)
        assert denials(session, other) == ()
        run.part = 2
        assert permits.used(session, run.id, 2) is None
        assert denials(session, run) == ()


def test_a_volume_with_files_is_looked_into_first(database: Database) -> None:
    """What is empty, or is no volume, needs no look."""
    with database.transaction() as session:
        run = about_to_format(session)
        assert denials(session, run, shown=None) == (Denial.NOT_LOOKED_INTO,)
        for other in ({"empty": True}, {"state": "blank", "label": None, "volume_uuid": None, "empty": None}):
            medium = {**TAPE, **other}
            run.tape_seen = medium
            assert denials(session, run, medium, shown=None) == ()
        medium = {**TAPE, "empty": None}
        run.tape_seen = medium
        assert denials(session, run, medium, shown=None) == (Denial.NOT_LOOKED_INTO,)


def test_what_the_volume_shows_and_the_catalogue_does_not_know(database: Database) -> None:
    """A set of somebody's, and files of a stranger: each is kept, and named."""
    with database.transaction() as session:
        run = about_to_format(session)
        assert denials(session, run, shown=permits.Shown((SET, "other"), ())) == (Denial.UNKNOWN_SETS,)
        assert denials(session, run, shown=permits.Shown((SET,), ("letters",))) == (Denial.STRANGERS,)
        decision = permits.judge(
            session, run, TAPE, policy=TapePolicy.parse("rotate"), now_local=now(),
            shown=permits.Shown((SET, "other"), ("letters",)),
        )  # fmt: skip
        said = " ".join(map(str, decision.reasons))
        assert "other" in said
        assert SET not in said
        assert "letters" in said


def test_what_this_run_and_this_period_have_written(database: Database) -> None:
    """It is appended to, and never formatted."""
    with database.transaction() as session:
        run = about_to_format(session)
        known = cartridges.find(session, "TP20241015")
        assert known
        second = stored_on(session, known, "20241015T000000Z-0002")
        second.expired_at, second.run_id = now(), run.id
        session.flush()
        assert Denial.OWN_SET in denials(session, run)
        second.run_id, second.period = None, "2024-W42"
        run.period = "2024-W42"
        session.flush()
        assert Denial.PERIOD_DATA in denials(session, run)
        run.period = "2024-W43"
        assert denials(session, run) == ()


def test_an_operator_who_named_the_tape_gave_up_what_was_on_it_then(database: Database) -> None:
    """Not what was written to it between his word and the run."""
    with database.transaction() as session:
        run = about_to_format(session)
        known = cartridges.find(session, "TP20241015")
        assert known
        stored_on(session, known, "20241015T000000Z-0002")
        assert denials(session, run) == (Denial.RETAINED_SETS,)
        run.options = Options(erase_label="TP20241015")
        run.notes = Notes(erase_sets=permits.named_sets(session, "TP20241015"))
        assert run.notes.erase_sets == (SET, "20241015T000000Z-0002")
        assert denials(session, run) == ()
        stored_on(session, known, "20241015T000000Z-0003")
        assert denials(session, run) == (Denial.RETAINED_SETS,)
        # A run of an earlier version has no list: its word is of the tape.
        run.notes = Notes()
        assert denials(session, run) == ()
        run.part = 2
        assert set(denials(session, run)) == {Denial.RETAINED_SETS}


def test_a_name_of_a_tape_that_is_none(database: Database) -> None:
    """An empty one names no row that has no label."""
    with database.transaction() as session:
        cartridges.register(session, {"state": "blank", "label": None, "medium_serial": "m7"}, "NEW", None)
        assert permits.named_sets(session, "") is None
        assert permits.named_sets(session, None) is None


def test_a_stored_permit_says_everything(database: Database) -> None:
    """Whose it is, for which cartridge, what was decided and why."""
    with database.transaction() as session:
        run = about_to_format(session)
        denied = permits.judge(
            session, run, TAPE, policy=TapePolicy.parse("rotate"), now_local=now(), shown=None
        )
        permit = permits.store(session, run, TAPE, "TP20251101", denied)
        known = cartridges.find(session, "TP20241015")
        assert known
        assert (permit.run_id, permit.part, permit.drive) == (run.id, 1, "tape0")
        assert (permit.cartridge_id, permit.label) == (known.id, "TP20251101")
        assert permit.identity == dict(cartridges.identity(TAPE))
        assert (permit.allowed, permit.denials) == (False, ["not_looked_into"])
        assert permit.reasons == [reason.to_json() for reason in denied.reasons]
        assert permit.sets_lost == [SET]
        with pytest.raises(NotAllowed, match="formats once"):
            permits.consume(session, permit.id, now())
        assert permits.store(session, run, tape("m9"), "TP20251101", ALLOWED).cartridge_id is None


def test_a_permit_is_consumed_by_one_step_alone(database: Database) -> None:
    """Whoever comes with the same moment is that step again; anybody else is refused."""
    with database.transaction() as session:
        run = about_to_format(session)
        permit = permits.store(session, run, TAPE, "TP20251101", ALLOWED)
        moment = now()
        permits.consume(session, permit.id, moment)
        permits.consume(session, permit.id, moment)
        assert permit.consumed_at == moment
        with pytest.raises(NotAllowed, match="formats once"):
            permits.consume(session, permit.id, now())
        with pytest.raises(NotAllowed, match="formats once"):
            permits.consume(session, permit.id + 1000, now())
        second = permits.store(session, run, TAPE, "TP20251102", ALLOWED)
        with pytest.raises(NotAllowed, match="formats once"):
            permits.consume(session, second.id, now())


def test_the_step_whose_connection_broke_after_the_commit_goes_on(database: Database) -> None:
    """It has read the permit before, and sees now that it was itself who consumed it."""
    moment = now()
    with database.transaction() as session:
        run = about_to_format(session)
        number = permits.store(session, run, TAPE, "TP20251101", ALLOWED).id
    with database.transaction() as session:
        seen = session.get_one(FormatPermit, number)
        with database.transaction() as other:
            permits.consume(other, number, moment)
        permits.consume(session, number, moment)
        assert seen.consumed_at == moment


def test_the_word_of_somebody_at_the_drive_is_used_up_with_the_permit(database: Database) -> None:
    """It was for one format."""
    foreign: dict[str, Any] = {"state": "foreign", "label": None, "medium_serial": "m1", "drive": "tape0"}
    with database.transaction() as session:
        run = run_at(session, "tape0")
        erasable.confirm(session, "tape0", foreign, "me")
        assert erasable.is_confirmed(session, foreign)
        permits.consume(session, permits.store(session, run, foreign, "TP20251101", ALLOWED).id, now())
        assert not erasable.is_confirmed(session, foreign)


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
        run.options, run.notes = Options(erase_label="TP20241015"), Notes(erase_sets=(SET,))
        seen = cartridges.tape_facts(session, TAPE)
        facts = permits.facts_of(session, run, seen, policy, NOVEMBER)
        expected = FormatFacts(
            seen, seen.identity, policy, NOVEMBER, run.id, "2025-11", "TP20241015", frozenset({SET})
        )
        assert facts == expected
        run.options, run.notes = Options(), Notes()
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
