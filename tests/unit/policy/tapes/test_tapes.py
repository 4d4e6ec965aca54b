"""Tape policies: which tape a schedule accepts."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from policy.errors import UsageError
from policy.tapes.facts import (
    CartridgeFacts,
    CartridgeState,
    SetFacts,
    SetState,
    TapeFacts,
    TapePolicy,
)

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


def tape(label: str | None, state: str = "formatted", known: CartridgeFacts | None = None) -> TapeFacts:
    return TapeFacts(state, label, None, False, (), known)


def cartridge(expires: datetime | None, pool: str | None = None) -> CartridgeFacts:
    kept = SetFacts("S1", 1, 5, "full", SetState.COMPLETE, "2024-10", NOW, expires)
    return CartridgeFacts(7, "TP20241015", "TP20241015", CartridgeState.ACTIVE, pool, "uuid", (kept,))


PAST = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("policy", "inserted", "accepted"),
    [
        ("current_month", tape("TP20261101"), True),
        ("current_month", tape("TP20261107"), True),
        ("current_month", tape(None, "blank"), True),
        ("current_month", tape("TP20261001"), False),
        ("current_month", tape("PHOTOS"), False),
        ("current_month", tape(None), False),
        ("current_month", tape(None, "unreadable"), False),
        ("current_month", tape(None, "no_medium"), False),
        ("current_month", tape("TP20241015", known=cartridge(PAST)), False),
        ("rotate", tape("TP20241015", known=cartridge(PAST)), True),
        ("rotate", tape("TP20241015", known=cartridge(None)), False),
        ("rotate", tape("TP20241015"), False),
        ("rotate", tape("TP20261101"), True),
        ("rotate", tape("TP20241015", known=cartridge(PAST, "vault")), False),
        ("rotate", tape(None, "blank", known=cartridge(PAST, "vault")), False),
        ("current_month", tape("TP20261101", known=cartridge(None, "vault")), False),
        ("current_month", tape(None, "blank", known=cartridge(PAST, "vault")), False),
        ("pool:a", tape("X", known=cartridge(None, "a")), True),
        ("pool:a", tape("X", known=cartridge(None, "b")), False),
        ("pool:a", tape("TP20261101"), False),
        ("pool:a", tape(None, "blank"), False),
    ],
)
def test_a_policy_accepts_its_tapes_and_no_others(policy: str, inserted: TapeFacts, accepted: bool) -> None:
    """Blank is something the drive affirms; unreadable and foreign are refused."""
    assert TapePolicy.parse(policy).accepts(inserted, NOW) is accepted


def test_the_month_is_that_of_the_schedules_clock() -> None:
    """Late on the 31st in UTC it is the next month in Shanghai."""
    now = datetime(2026, 10, 31, 17, 0, tzinfo=UTC).astimezone(ZoneInfo("Asia/Shanghai"))
    assert TapePolicy.parse("current_month").accepts(tape("TP20261101"), now)
    assert not TapePolicy.parse("current_month").accepts(tape("TP20261001"), now)


@pytest.mark.parametrize("text", ["", "pool", "pool:", "monthly", "CURRENT_MONTH"])
def test_an_unknown_policy_is_an_error_that_lists_the_policies(text: str) -> None:
    """There is no default for what is not understood."""
    with pytest.raises(UsageError, match="current_month, rotate or pool"):
        TapePolicy.parse(text)
