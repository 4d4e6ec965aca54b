"""The pause before the next try."""

from __future__ import annotations

from datetime import timedelta

import pytest

from policy.times import backoff

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("failures", "minutes"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (6, 10), (10**9, 10)]
)
def test_the_pause_doubles_up_to_the_longest(failures: int, minutes: int) -> None:
    """However often it failed; the first failure has the first pause."""
    assert backoff.pause(MINUTE, failures, 10 * MINUTE) == minutes * MINUTE


def test_a_short_pause_reaches_a_long_one() -> None:
    """The doublings suffice from a second to a year."""
    year = timedelta(days=366)
    assert backoff.pause(timedelta(seconds=1), 25, year) < year
    assert backoff.pause(timedelta(seconds=1), 100, year) == year
