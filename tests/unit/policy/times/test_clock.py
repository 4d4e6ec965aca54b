"""A clock that leaps ahead holds every format permit until a person answers for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from policy.message import M
from policy.tapes.permit import Denial, decide
from policy.tapes.verdict import Question
from policy.times.clock import USUAL_QUIET, LastSeen, leap
from tests.random_tapes import questions

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
SPELLS = st.timedeltas(timedelta(), timedelta(days=4000))


@given(st.timedeltas(timedelta(days=-4000), timedelta(days=4000)), SPELLS)
def test_a_leap_is_what_is_longer_than_any_spell_before(by: timedelta, longest: timedelta) -> None:
    """In either direction; and what is usual, or was confirmed once, is none."""
    is_leap = abs(by) > max(timedelta(days=35), longest)
    assert (leap(NOW + by, LastSeen(NOW, longest)) is not None) is is_leap


def test_without_a_mark_no_moment_is_known_to_be_right() -> None:
    """A missing fact keeps what is kept."""
    assert "tapeline clock confirm" in str(leap(NOW, None))


def test_from_one_monthly_backup_to_the_next_is_usual() -> None:
    """An installation may be switched off in between, also in a long month with some days of delay."""
    assert timedelta(days=31) < USUAL_QUIET < timedelta(days=60)


@given(questions())
def test_nothing_is_formatted_by_a_clock_in_doubt(asked: Question) -> None:
    """Whatever the tape. What is appended to is appended to as before, for that erases nothing."""
    facts = replace(asked.facts, clock_doubt=M("in doubt"))
    sound, doubtful = decide(asked.facts), decide(facts)
    assert not doubtful.allowed
    assert doubtful.denials == (Denial.CLOCK, *sound.denials)
    assert str(doubtful.main_reason) == "in doubt"
    assert doubtful.append is sound.append
