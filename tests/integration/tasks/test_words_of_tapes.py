"""The refusal of a tape in full: the reason, and what to insert."""

from __future__ import annotations

from typing import Any

import pytest

from db import freezes
from db.engine import Database
from db.models import RunNotes, TapePool, now
from db.states import BackupType, Kind
from db.tapes import cartridges, permits
from policy.message import M, Message
from policy.tapes import verdict
from policy.tapes.facts import CartridgeState, TapePolicy
from policy.tapes.permit import Decision, Denial
from policy.tapes.verdict import Objection
from tape.drive import Medium, MediumState
from tasks.drive import tape_rules
from tests.integration.db.tapes.test_permits import ALLOWED
from tests.integration.tasks.asking import (
    BLANK,
    FORMATTED,
    NOTHING,
    NOVEMBER,
    a_run,
    again,
    entered,
    month,
    of_kind,
    refusal,
    schedule_of,
)
from tests.integration.tasks.test_run_backup_rules import a_set, row_of


@pytest.mark.parametrize(("setting", "state", "passes"), [
    ("continue", "unreadable", True), ("continue", "formatted", False), ("refuse", "unreadable", False),
])  # fmt: skip
def test_what_cannot_be_read_is_let_pass_where_the_schedule_says_so(
    database: Database, setting: str, state: str, passes: bool
) -> None:
    """To its permit; the precheck names it all the same."""
    with database.transaction() as session:
        run = a_run(session)
        schedule_of(run).unreadable_label = setting
        seen = cartridges.tape_facts(session, {**FORMATTED, "state": state})
        assert tape_rules.is_let_pass(run, seen) is passes
        assert tape_rules.question_of(session, run, seen).is_let_pass is passes
        assert refusal(session, run, {**FORMATTED, "state": state}) is not None
        assert not tape_rules.is_let_pass(of_kind(session, Kind.IMPORT), seen)


# -- words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "in_pool", "text"), [
    ("current_month", None, "is not this month's: change it and retry"),
    ("pool:yearly", None, "is not of pool 'yearly': change it"),
    ("current_month", "attic", "is kept for pool 'attic': change it"),
])  # fmt: skip
def test_a_wrong_tape_is_told_with_what_would_do(
    database: Database, policy: str, in_pool: str | None, text: str
) -> None:
    with database.transaction() as session:
        run = a_run(session, policy)
        entered(session, FORMATTED, pool=in_pool)
        expected = str(tape_rules.expected(session, run))
        told = f"The tape in the drive {text} (in drive tape7: TP20260501; expected: {expected})."
        assert refusal(session, run, FORMATTED) == told
        seen = cartridges.tape_facts(session, FORMATTED)
        assert str(tape_rules.wrong_tape(session, run, seen)) == told
        question = tape_rules.question_for(session, schedule_of(run), seen, tape_rules.local_now(run))
        found = verdict.judge(question)
        for asked in (tape_rules.refused, tape_rules.refused_at_first):
            assert str(asked(session, schedule_of(run), question, found)) == told


def test_what_is_expected_is_what_this_part_would_take(database: Database) -> None:
    """A blank tape where a format may come first."""
    with database.transaction() as session:
        run = a_run(session, template=BackupType.INCREMENTAL)
        begins = TapePolicy.parse("current_month").expects(tape_rules.local_now(run), begins=True)
        appends = TapePolicy.parse("current_month").expects(tape_rules.local_now(run), begins=False)
        assert begins != appends
        assert tape_rules.expected(session, run) == begins
        tape = row_of(session, Medium(MediumState.FORMATTED, label="TP20260501", medium_serial="m1"))
        a_set(session, tape, "20260501T020000Z-cd", template_id=schedule_of(run).template_id)
        assert tape_rules.expected(session, run) == appends


def test_a_blank_tape_is_of_no_use_to_an_increment(database: Database) -> None:
    """The command that would use it is told; in a pool, it is told what the pool needs."""
    with database.transaction() as session:
        run = a_run(session, template=BackupType.INCREMENTAL)
        tape = row_of(session, Medium(MediumState.FORMATTED, label="TP20260501", medium_serial="m1"))
        a_set(session, tape, "20260501T020000Z-cd", template_id=schedule_of(run).template_id)
        assert refusal(session, run, BLANK) == (
            "The tape in drive tape7 is blank, and an increment is appended: insert a tape labelled"
            f" {month(run)}xx. A full backup would take the blank one:"
            " tapeline schedule run 'my files' --type full"
        )
        schedule_of(run).tape_policy = "pool:yearly"
        expected = str(tape_rules.expected(session, run))
        assert refusal(session, run, BLANK) == (
            "The tape in the drive is not of pool 'yearly': change it"
            f" (in drive tape7: a blank tape; expected: {expected})."
        )


@pytest.mark.parametrize("how", ["full backup", "increment", "pool"])
def test_a_full_tape_is_told_with_what_to_insert(database: Database, how: str) -> None:
    with database.transaction() as session:
        policy = "pool:yearly" if how == "pool" else "current_month"
        kind = BackupType.INCREMENTAL if how == "increment" else BackupType.FULL
        run = a_run(session, policy, template=kind)
        medium = {**FORMATTED, "label": f"{month(run)}01"}
        tape = row_of(session, Medium(MediumState.FORMATTED, label=medium["label"], medium_serial="m1"))
        tape.pool = TapePool(name="yearly") if how == "pool" else None
        a_set(
            session,
            tape,
            "20260501T020000Z-cd",
            template_id=schedule_of(run).template_id,
            retention_until=None,
        )
        tape.state = CartridgeState.FULL
        session.flush()
        begins = f"Tape {month(run)}01 in drive tape7 is full"
        assert (
            refusal(session, run, medium)
            == {
                "full backup": f"{begins}. Put in a blank one: it becomes {month(run)}02.",
                "increment": f"{begins}, and an increment is appended: insert a tape labelled {month(run)}xx"
                " that has room. Or put in a blank one, for a full backup: tapeline schedule run 'my files'"
                " --type full",
                "pool": f"{begins}. Put in another one of pool 'yearly'.",
            }[how]
        )


def test_an_objection_with_words_of_its_own_keeps_them(database: Database) -> None:
    """The first one is told."""
    with database.transaction() as session:
        run = a_run(session)
        asker = tape_rules._asked_by(session, run)
        seen = cartridges.tape_facts(session, FORMATTED)
        first = (Objection.WRITE_PROTECTED, M("The switch is set."))
        second = (Objection.NOT_ACCEPTED, M("Another month."))
        assert str(tape_rules._in_words(session, asker, seen, (first, second))) == "The switch is set."
        to_come = tape_rules._asked_for(schedule_of(run), tape_rules.question_of(session, run, seen))
        assert to_come.run is None
        begun = ((Objection.BEGUN_ELSEWHERE, M("It was begun elsewhere.")),)
        assert str(tape_rules._in_words(session, to_come, seen, begun)) == "It was begun elsewhere."


def test_who_asks_is_told_in_the_refusal(database: Database) -> None:
    with database.transaction() as session:
        run = a_run(session)
        asker = tape_rules._asked_by(session, run)
        policy = TapePolicy.parse("current_month")
        assert (asker.drive, asker.policy, asker.schedule) == ("tape7", policy, "my files")
        assert (asker.begins, asker.run) == (True, run)
        assert asker.expects == policy.expects(asker.moment, begins=True)
        assert abs((now() - asker.moment).total_seconds()) < 60
        seen = cartridges.tape_facts(session, FORMATTED)
        question = tape_rules.question_for(session, schedule_of(run), seen, NOVEMBER)
        to_come = tape_rules._asked_for(schedule_of(run), question)
        assert to_come == tape_rules.Asker(
            "tape7", policy, NOVEMBER, policy.expects(NOVEMBER, begins=True), "my files", True
        )


@pytest.mark.parametrize(("denials", "text"), [
    (
        (Denial.RETAINED_SETS,),
        "The tape in drive tape7 (TP20260501) may not be formatted: first Expected: a tape.",
    ),
    ((Denial.CLOCK,), "first"), ((Denial.FROZEN, Denial.RETAINED_SETS), "first"),
])  # fmt: skip
def test_a_tape_that_may_not_be_formatted(database: Database, denials: tuple[Denial, ...], text: str) -> None:
    """What holds every tape names none of them."""
    decision = Decision(False, denials, (M("first"), M("second")), ())
    with database.transaction() as session:
        policy = TapePolicy.parse("current_month")
        seen = cartridges.tape_facts(session, FORMATTED)
        assert str(tape_rules.not_to_format("tape7", policy, seen, decision, M("a tape"))) == text
        nothing = cartridges.tape_facts(session, NOTHING)
        told = (
            "first"
            if denials[0] != Denial.RETAINED_SETS
            else "There is no tape in drive tape7. Insert a tape."
        )
        assert str(tape_rules.not_to_format("tape7", policy, nothing, decision, M("a tape"))) == told


# -- runs that only read ---------------------------------------------------------------------------


def test_an_import_takes_whatever_has_a_volume(database: Database) -> None:
    with database.transaction() as session:
        run = of_kind(session, Kind.IMPORT)
        assert refusal(session, run, FORMATTED) is None
        assert refusal(session, run, BLANK) == "There is nothing to import in drive tape7: a blank tape."


@pytest.mark.parametrize("kind", [Kind.RESTORE, Kind.VERIFY])
def test_a_run_that_reads_takes_the_tapes_of_its_set(database: Database, kind: Kind) -> None:
    """All of them, of the sets that it follows too, until it is known which are still to be read."""
    with database.transaction() as session:
        tapes = [
            row_of(session, Medium(MediumState.FORMATTED, label=f"TP2026050{n}", medium_serial=f"m{n}"))
            for n in (1, 2, 3)
        ]
        full = a_set(session, tapes[0], "20260501T020000Z-ab")
        last = a_set(session, tapes[1], "20260502T020000Z-ab", type=BackupType.INCREMENTAL, parent_id=full.id)
        run = of_kind(session, kind, set_id=last.id)
        media = [{**FORMATTED, "label": each.label, "medium_serial": each.medium_serial} for each in tapes]
        assert [refusal(session, run, each) is None for each in media] == [True, True, False]
        told = "Insert tape TP20260501, TP20260502 for set 20260502T020000Z-ab"
        assert refusal(session, run, media[2]) == f"{told} (in drive tape7: TP20260503)."
        assert refusal(session, run, NOTHING) == f"{told} (in drive tape7: no tape)."
        run.notes = RunNotes(cartridges=(tapes[1].id,))
        assert [refusal(session, run, each) is None for each in media] == [False, True, False]
        for medium in media:
            found = tape_rules.refusal_of_all(session, run, medium)
            assert (found and str(found)) == refusal(session, run, medium)


# -- runs that wait --------------------------------------------------------------------------------


def test_a_run_that_waits_goes_on_with_what_precheck_and_permit_take(database: Database) -> None:
    """A tape that the precheck takes, and its permit denies, would make it wait again."""
    with database.transaction() as session:
        run = a_run(session)
        assert again(session, run, BLANK) is None
        assert str(again(session, run, NOTHING)).startswith("There is no tape in drive tape7.")
        freezes.freeze(session, "f", "li", "why")
        assert str(again(session, run, BLANK)).startswith("Formats are frozen since ")


def test_a_run_that_has_formatted_goes_on_without_a_permit(database: Database) -> None:
    """With what it has formatted; not with the tape whose format failed, for the reason of that."""
    with database.transaction() as session:
        run = a_run(session)
        permit = permits.store(session, run, BLANK, f"{month(run)}01", ALLOWED)
        permits.consume(session, permit.id, now())
        made = {**BLANK, "state": "formatted", "label": f"{month(run)}01", "empty": True}
        freezes.freeze(session, "f", "li", "why")
        assert again(session, run, made) is None
        assert str(again(session, run, NOTHING)).startswith("There is no tape in drive tape7.")
        permits.close(session, permit.id, {"ok": False, "started": True})
        session.expire_all()
        assert again(session, run, BLANK) == tape_rules.tried(
            cartridges.tape_facts(session, BLANK).describe()
        )
        assert again(session, run, made) is None


def test_a_format_that_failed_for_a_reason_says_it(database: Database) -> None:
    with database.transaction() as session:
        run = a_run(session)
        permit = permits.store(session, run, BLANK, f"{month(run)}01", ALLOWED)
        permits.consume(session, permit.id, now())
        why = M("mkltfs ended with {code}.", code=1)
        permits.close(session, permit.id, {"ok": False, "started": True, "failure": why.to_json()})
        session.expire_all()
        assert again(session, run, BLANK) == why
        run.part = 2
        assert again(session, run, BLANK) is None, "another part formats once more"


def test_a_switch_counts_only_where_it_is_set(database: Database) -> None:
    """And where it is all that is wrong."""
    asked: list[dict[str, Any]] = []

    def refused(medium: Any) -> Message | None:
        asked.append(medium)
        return M("no") if medium["state"] == "blank" else None

    protected = {**FORMATTED, "write_protected": True}
    assert tape_rules.would_do_writable(protected, refused)
    assert asked == [{**FORMATTED, "write_protected": False}]
    assert not tape_rules.would_do_writable({**BLANK, "write_protected": True}, refused)
    assert not tape_rules.would_do_writable(FORMATTED, refused)
    assert len(asked) == 2


def test_the_small_remedies(database: Database) -> None:
    with database.transaction() as session:
        run = a_run(session)
        told = f"Look at the tape. With another one in the drive: tapeline runs retry {run.id}"
        assert str(tape_rules.another_tape(run)) == told
        assert str(tape_rules.tried("X")) == (
            "The format of this run has been tried; the tape now reads 'X'. It is not formatted again."
        )
        assert [str(tape_rules.type_named(each)) for each in BackupType] == [
            "full",
            "incremental",
            "differential",
        ]
