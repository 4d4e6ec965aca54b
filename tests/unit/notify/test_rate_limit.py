"""At most so many messages in so many seconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.channel import RateLimited
from notify.channels.rate_limit import RateLimit
from policy.errors import Consequence


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_message_beyond_the_limit_is_told_when_to_come_again() -> None:
    """The twenty-first message of a minute is told the seconds until the first is a minute old."""
    clock = Clock()
    limit = RateLimit(20, 60, clock)
    limit.take()
    clock.now += 10
    for _ in range(19):
        limit.take()
    clock.now += 5
    with pytest.raises(RateLimited) as refused:
        limit.take()
    assert refused.value.retry_after == pytest.approx(45)
    assert refused.value.consequence is Consequence.RETRY
    assert "45 s" in str(refused.value)
    clock.now += 45
    limit.take()


def test_refused_message_does_not_count() -> None:
    """Asking too early does not put the next chance off."""
    clock = Clock()
    limit = RateLimit(1, 60, clock)
    limit.take()
    for _ in range(5):
        clock.now += 10
        with pytest.raises(RateLimited):
            limit.take()
    clock.now += 10
    limit.take()


def test_closed_limit_lets_nothing_through() -> None:
    """After the other side has said stop, nothing is let through until its time is over."""
    clock = Clock()
    limit = RateLimit(20, 60, clock)
    limit.close(600)
    limit.close(1)
    with pytest.raises(RateLimited) as refused:
        limit.take()
    assert refused.value.retry_after == pytest.approx(600)
    clock.now += 600
    limit.take()


@given(st.lists(st.floats(min_value=0, max_value=30), max_size=80), st.integers(min_value=1, max_value=5))
def test_no_window_ever_holds_more(pauses: list[float], messages: int) -> None:
    """However the messages come, no minute holds more than the limit, and whoever waits gets through."""
    clock = Clock()
    limit = RateLimit(messages, 60, clock)
    sent: list[float] = []
    for pause in pauses:
        clock.now += pause
        if sum(1 for moment in sent if clock.now - moment < 60) >= messages:
            with pytest.raises(RateLimited) as refused:
                limit.take()
            clock.now += refused.value.retry_after + 1e-6
        limit.take()
        sent.append(clock.now)
        assert sum(1 for moment in sent if clock.now - moment < 60) <= messages
