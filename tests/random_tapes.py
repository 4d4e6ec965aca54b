"""Tapes, sets and questions at random, for properties of the rules that judge them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from policy.tapes.facts import (
    CartridgeFacts,
    CartridgeState,
    SetFacts,
    SetState,
    TapeFacts,
    TapePolicy,
)
from policy.tapes.permit import FormatFacts
from policy.tapes.verdict import Question

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
OLD = datetime(2024, 10, 15, tzinfo=UTC)
EXPIRED = datetime(2025, 10, 15, tzinfo=UTC)
RUN = 12
"""The run that asks."""

PLAIN_SETS = st.builds(
    SetFacts,
    id=st.sampled_from(["S1", "S2", "S3", "S9"]),
    template_id=st.sampled_from([1, 2, None]),
    run_id=st.sampled_from([5, RUN, None]),
    type=st.sampled_from(["full", "incremental"]),
    state=st.sampled_from(SetState),
    period=st.sampled_from(["2024-10", "2026-11", None]),
    started_at=st.sampled_from([OLD, NOW]),
    retention_until=st.sampled_from([None, EXPIRED, EXPIRED, NOW + timedelta(days=1)]),
    keep_sets=st.sampled_from([None, None, 2]),
    newer=st.integers(0, 3),
    expired=st.booleans(),
    is_imported=st.sampled_from([False, False, True]),
    is_newest_full=st.sampled_from([False, False, True]),
    is_sealed=st.sampled_from([True, True, False]),
)
SETS = st.builds(
    lambda stored, followers: replace(stored, followed_by=tuple(followers)),
    PLAIN_SETS,
    st.lists(PLAIN_SETS, max_size=2),
)


@st.composite
def tapes(draw: st.DrawFn) -> TapeFacts:
    """A tape in a drive, with its row or without one."""
    label = draw(st.sampled_from(["TP20241015", "TP20261101", "PHOTOS", None]))
    pool = draw(st.sampled_from([None, None, "a"]))
    sets = tuple(draw(st.lists(SETS, max_size=3)))
    row = CartridgeFacts(7, "T7", label, draw(st.sampled_from(CartridgeState)), pool, "uuid-1", sets)
    return TapeFacts(
        state=draw(
            st.sampled_from(["formatted", "formatted", "formatted", "blank", "unreadable", "no_medium"])
        ),
        label=label,
        empty=draw(st.sampled_from([True, False, None])),
        write_protected=draw(st.sampled_from([False, False, True])),
        identity=(("label", label),),
        known=draw(st.sampled_from([row, row, None])),
    )


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """What a run that has just seen a tape asks of it."""
    tape = draw(tapes())
    facts = FormatFacts(
        tape=tape,
        seen_by_precheck=tape.identity,
        policy=draw(st.sampled_from(["current_month", "rotate", "pool:a"]).map(TapePolicy.parse)),
        now_local=NOW,
        run_id=draw(st.sampled_from([None, RUN])),
        period=draw(st.sampled_from(["2026-11", None])),
        named_label=draw(st.sampled_from([None, None, tape.label])),
    )
    return Question(facts, begins=draw(st.booleans()), is_let_pass=draw(st.booleans()))
