"""One verdict on a tape: whoever is asked beforehand answers what the run then does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given

from policy.tapes import verdict
from policy.tapes.facts import (
    CartridgeFacts,
    CartridgeState,
    SetFacts,
    SetState,
    TapeFacts,
    TapePolicy,
)
from policy.tapes.permit import FormatFacts, decide
from policy.tapes.verdict import Answer, Objection, Question
from policy.times.calendar import Stock, play
from policy.times.period import ScheduleType
from policy.times.shelf import PlannedRun, ShelfTape
from tests.random_tapes import EXPIRED, NOW, OLD, RUN, questions

EXPIRED_SET = SetFacts("S1", 1, 5, "full", SetState.COMPLETE, "2024-10", OLD, EXPIRED)


def played(question: Question) -> Answer:
    """What the steps of a run do, one after the other: precheck, format_tape, run_backup."""
    facts = question.facts
    if verdict.at_first(question):
        return Answer.REFUSE
    if question.begins:
        decision = decide(facts)
        if decision.allowed:
            return Answer.FORMAT
        if not decision.append:
            return Answer.REFUSE
    known = facts.tape.known
    own = facts.run_id is not None and any(
        each.run_id == facts.run_id and each.state is not SetState.DESTROYED
        for each in (known.sets if known else ())
    )
    is_own = True if own and question.begins else None
    may = verdict.may_write(facts.tape, facts.policy, facts.now_local, is_own=is_own)
    return Answer.APPEND if may else Answer.REFUSE


@given(question=questions())
def test_the_verdict_is_what_the_run_then_does(question: Question) -> None:
    """From the same facts: nobody is sent for another tape, or left waiting, by an answer that is wrong."""
    found = verdict.judge(question)
    assert found.answer is played(question)
    assert found.answer is not Answer.REFUSE or found.reasons
    assert not found.sets_lost or found.answer is Answer.FORMAT


@given(question=questions())
def test_the_calendar_takes_a_tape_that_the_run_would_take(question: Question) -> None:
    """The tape in the drive is named for the next run if, and only if, the verdict is not to refuse it."""
    facts = replace(question.facts, run_id=None, period="2026-11", named_label=None)
    asked = Question(facts, begins=question.begins)
    stock = Stock(
        loaded={"tape0": ShelfTape(facts.tape, 0, None)},
        shelf=[],
        newest_full={1: "S0"},
        newest={1: "S0"},
    )
    kind = "full" if question.begins else "incremental"
    run = PlannedRun(
        NOW, "daily", ScheduleType.MONTHLY, "UTC", "tape0", facts.policy, 1, None, None, kind, None
    )
    [entry] = play(stock, [run])
    found = verdict.judge(asked)
    assert entry.insert is (found.answer is Answer.REFUSE)
    if found.answer is not Answer.REFUSE:
        assert entry.format is (found.answer is Answer.FORMAT)
        assert entry.erases == found.sets_lost


def question(tape: TapeFacts, *, begins: bool = True) -> Question:
    facts = FormatFacts(tape, tape.identity, TapePolicy.parse("rotate"), NOW, RUN, "2026-11")
    return Question(facts, begins=begins)


def formatted(label: str, *sets: SetFacts, state: CartridgeState = CartridgeState.ACTIVE) -> TapeFacts:
    row = CartridgeFacts(7, label, label, state, None, "uuid-1", sets)
    return TapeFacts("formatted", label, False, False, (("label", label),), row)


@pytest.mark.parametrize("state", [CartridgeState.ACTIVE, CartridgeState.FULL])
def test_an_expired_set_of_this_month_on_another_months_tape_is_refused(state: CartridgeState) -> None:
    """It may not be formatted, because of this month's set, nor appended to, because of its label."""
    stored = replace(EXPIRED_SET, started_at=NOW - timedelta(days=2), expired=True)
    found = verdict.judge(question(formatted("TP20251001", stored, state=state)))
    assert found.answer is Answer.REFUSE
    assert found.decision is not None
    assert not found.decision.append


def test_nothing_is_appended_to_a_full_tape_whose_sets_are_expired() -> None:
    """An increment would be full at its first byte; a full backup formats it."""
    full = formatted("TP20261101", EXPIRED_SET, state=CartridgeState.FULL)
    found = verdict.judge(question(full, begins=False))
    assert [objection for objection, _ in found.objections] == [Objection.FULL]
    assert verdict.judge(question(full)).answer is Answer.FORMAT


def test_a_set_goes_on_where_it_was_begun_also_in_another_month() -> None:
    """A run that is resumed after the month's end appends to the tape of its own set, and to no other."""
    began = replace(EXPIRED_SET, run_id=RUN, state=SetState.WRITING)
    asked = question(formatted("TP20261001", began))
    assert verdict.judge(replace(asked, begun_here=True)).answer is Answer.APPEND
    elsewhere = verdict.judge(replace(asked, begun_here=False))
    assert [objection for objection, _ in elsewhere.objections] == [Objection.BEGUN_ELSEWHERE]
