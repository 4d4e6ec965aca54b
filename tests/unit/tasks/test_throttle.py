"""The rate limit of sources: never faster while it applies, and at any speed while it does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.errors import UsageError
from policy.schedule import rate
from policy.schedule.rate import SourceRate
from policy.times.window import Window
from tasks.writing import throttle
from tasks.writing.throttle import AT_LEAST, SourceThrottle

MB = 10**6
UTC_ZONE = rate.of("1MB/s 08:00-18:00", "UTC").applies
START = datetime(2026, 12, 1, 12, tzinfo=UTC)


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self, at: datetime) -> None:
        self.began, self.seconds = at, 0.0
        self.checks = 0

    def now(self) -> datetime:
        return self.began + timedelta(seconds=self.seconds)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def check(self) -> None:
        self.checks += 1


@contextmanager
def clock(at: datetime = START) -> Iterator[Clock]:
    with pytest.MonkeyPatch.context() as patch:
        made = Clock(at)
        patch.setattr(throttle, "now", made.now)
        patch.setattr(throttle, "time", SimpleNamespace(sleep=made.sleep, monotonic=lambda: made.seconds))
        yield made


def made_with(timer: Clock, limit: SourceRate) -> SourceThrottle:
    return SourceThrottle(limit, timer.check, lambda: False)


@given(
    st.lists(st.tuples(st.integers(1, 8 * MB), st.floats(0, 3)), min_size=1, max_size=40),
    st.integers(1, 200),
)
def test_while_it_applies_the_average_is_never_above_it(reads: list[tuple[int, float]], speed: int) -> None:
    """From any read on, however bursts and pauses follow each other; and it waits no longer than needed."""
    with clock() as timer:
        slow = made_with(timer, SourceRate(speed * MB, None))
        moments = [(0.0, 0)]
        for count, pause in reads:
            timer.sleep(pause)
            slow.took(count)
            moments.append((timer.seconds, moments[-1][1] + count))
        for number, (began, before) in enumerate(moments):
            for until, after in moments[number + 1 :]:
                # The read that ends the stretch was waited for; the one before it is not made up for.
                assert after - before <= speed * MB * (until - began + AT_LEAST) + max(c for c, _ in reads)
        assert slow.seconds <= sum(count for count, _ in reads) / (speed * MB) + 1e-6


def test_outside_its_hours_nobody_waits() -> None:
    with clock(datetime(2026, 12, 1, 20, tzinfo=UTC)) as timer:
        slow = made_with(timer, rate.of("1MB/s 08:00-18:00", "UTC"))
        assert not slow.is_slowing()
        slow.took(10**12)
        assert (timer.seconds, slow.seconds, timer.checks) == (0, 0, 0)


def test_it_ends_at_its_hour_in_the_middle_of_a_wait() -> None:
    """The night does not wait for what the day has read too fast."""
    with clock(datetime(2026, 12, 1, 17, 59, 55, tzinfo=UTC)) as timer:
        slow = made_with(timer, rate.of("1MB/s 08:00-18:00", "UTC"))
        slow.took(100 * MB)
        assert 5 <= timer.seconds <= 5.5
        slow.took(10**12)
        assert timer.seconds <= 5.5
        timer.began += timedelta(hours=14)
        assert slow.is_slowing()


def test_a_wait_ends_when_the_step_has_to() -> None:
    """A cancel goes through within a slice, and a run that pauses waits no longer."""

    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    with clock() as timer:
        with pytest.raises(Stopped):
            SourceThrottle(SourceRate(MB, None), stop, lambda: False).took(100 * MB)
        assert timer.seconds <= 0.5
        SourceThrottle(SourceRate(MB, None), timer.check, lambda: True).took(100 * MB)
        assert timer.seconds <= 0.5


@given(
    st.builds(SourceRate, st.just(MB), st.just(UTC_ZONE)),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_an_answer_is_right_until_it_says_so(limit: SourceRate, moment: datetime) -> None:
    answer, until = limit.at(moment)
    assert until > moment
    assert (answer is None) == (not time(8) <= moment.time() < time(18))
    assert limit.at(moment + (until - moment) / 2)[0] == answer
    assert (limit.at(until)[0] is None) != (answer is None)


def test_a_rate_as_the_file_has_it() -> None:
    limit = rate.of("50MB/s 08:00-18:00", "Asia/Shanghai")
    assert limit.bytes_per_second == 50 * MB
    assert isinstance(limit.applies, Window)
    assert rate.of("1GiB/s", "UTC") == SourceRate(1 << 30, None)
    for wrong in ("50MB", "50/s", "50MB/s 8-18", "50MB/s 08:00-08:00", "0MB/s", "50MB/s08:00-18:00"):
        with pytest.raises(UsageError, match="is no rate"):
            rate.of(wrong, "UTC")
