"""This month's: of this year, on the clock of the schedule."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from policy.tapes.facts import (
    CartridgeFacts,
    CartridgeState,
    SetFacts,
    SetState,
    TapeFacts,
    TapePolicy,
)
from policy.tapes.label import MonthlyLabel
from policy.tapes.permit import Denial, FormatFacts, decide

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOVEMBER = datetime(2026, 11, 1, 1, tzinfo=SHANGHAI)
"""In UTC it is still October."""


@pytest.mark.parametrize(
    ("label", "is_this_months"),
    [((2026, 11), True), ((2025, 11), False), ((2027, 11), False), ((2026, 10), False), ((2026, 12), False)],
)
@pytest.mark.parametrize("policy", ["current_month", "rotate"])
def test_a_label_of_this_month_is_of_this_year(
    label: tuple[int, int], is_this_months: bool, policy: str
) -> None:
    """A tape of the same month a year ago is full of what is kept."""
    monthly = MonthlyLabel(*label, 1)
    tape = TapeFacts("formatted", str(monthly), empty=False, write_protected=False, identity=(), known=None)
    assert monthly.is_of(NOVEMBER) is is_this_months
    assert TapePolicy.parse(policy).accepts(tape, NOVEMBER) is is_this_months
    assert TapePolicy.parse(policy).may_append(tape, NOVEMBER) is is_this_months


@pytest.mark.parametrize(
    ("written", "is_of_this_period"),
    [
        (datetime(2026, 10, 31, 16, tzinfo=UTC), True),
        (datetime(2026, 10, 31, 15, 59, tzinfo=UTC), False),
        (datetime(2026, 11, 30, 15, 59, tzinfo=UTC), True),
        (datetime(2026, 11, 30, 16, tzinfo=UTC), False),
        (datetime(2025, 11, 15, tzinfo=UTC), False),
        (datetime(2027, 11, 15, tzinfo=UTC), False),
    ],
)
def test_a_set_of_this_month_is_told_on_the_clock_of_the_schedule(
    written: datetime, is_of_this_period: bool
) -> None:
    """What was written at 00:30 on the first of November in Shanghai is of November."""
    stored = SetFacts("s", 1, 1, "full", SetState.COMPLETE, "2020-W01", written, written, expired=True)
    known = CartridgeFacts(1, "TP20261001", "TP20261001", CartridgeState.ACTIVE, None, "u", (stored,))
    tape = TapeFacts("formatted", "TP20261001", empty=False, write_protected=False, identity=(), known=known)
    facts = FormatFacts(tape, (), TapePolicy.parse("rotate"), NOVEMBER, None, "2026-11", None)
    assert (Denial.PERIOD_DATA in decide(facts).denials) is is_of_this_period
    in_utc = replace(facts, now_local=NOVEMBER.astimezone(UTC))
    october = written.astimezone(UTC)
    assert (Denial.PERIOD_DATA in decide(in_utc).denials) is ((october.year, october.month) == (2026, 10))
