"""Missing means kept: no permit is given for want of a fact that would have denied it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from policy.tapes.facts import SetFacts, SetState, TapeFacts
from policy.tapes.permit import FormatFacts, decide
from policy.tapes.verdict import Answer, Question, judge
from tests.random_tapes import questions

AWAY: list[Callable[[SetFacts], SetFacts]] = [
    lambda stored: replace(stored, template_id=None),
    lambda stored: replace(stored, retention_until=None, keep_sets=None),
    lambda stored: replace(stored, expired=False),
    lambda stored: replace(stored, newer=0),
    lambda stored: replace(stored, run_id=None, is_imported=True),
    lambda stored: replace(stored, is_imported=True, period=None),
]
"""What a catalogue may not know of a set; one that has no run is known from its tape alone."""


def without(facts: FormatFacts, data: st.DataObject) -> FormatFacts:
    """The facts of a tape, with some of them away."""
    known = facts.tape.known
    if known is None:
        return facts
    sets = tuple(_without(stored, data) for stored in known.sets)
    tape = replace(facts.tape, known=replace(known, sets=sets, volume_uuid=None))
    return replace(facts, tape=_unread(tape, data))


def _without(stored: SetFacts, data: st.DataObject) -> SetFacts:
    for away in data.draw(st.lists(st.sampled_from(AWAY), max_size=3, unique=True)):
        stored = away(stored)
    if stored.is_imported and stored.state is SetState.COMPLETE and data.draw(st.booleans()):
        # One of its tapes was not imported.
        stored = replace(stored, state=SetState.INCOMPLETE)
    return replace(stored, followed_by=tuple(_without(each, data) for each in stored.followed_by))


def _unread(tape: TapeFacts, data: st.DataObject) -> TapeFacts:
    """What a drive may not report; the row, where there is another witness of what is on the tape."""
    if data.draw(st.booleans()):
        tape = replace(tape, label=None)
    is_silent = tape.state == "blank" or tape.empty
    if not is_silent and data.draw(st.booleans()):
        tape = replace(tape, empty=None)
    if not is_silent and data.draw(st.booleans()):
        tape = replace(tape, known=None)
    return tape


@given(asked=questions(), data=st.data())
def test_no_fact_that_is_missing_allows_a_format(asked: Question, data: st.DataObject) -> None:
    """Any facts, in any combination: what the full ones deny is denied without some of them."""
    poorer = without(asked.facts, data)
    if decide(poorer).allowed:
        assert decide(replace(asked.facts, seen_by_precheck=asked.facts.tape.identity)).allowed
    if judge(replace(asked, facts=poorer)).answer is Answer.FORMAT:
        assert judge(asked).answer is not Answer.REFUSE
