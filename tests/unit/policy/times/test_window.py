"""The window of a schedule, for any moment, on any clock, also on the days when it changes."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policy.errors import UsageError
from policy.times import window
from policy.times.window import Window

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = st.sampled_from(
    [BERLIN, *map(ZoneInfo, ("Asia/Shanghai", "UTC", "America/Sao_Paulo", "Australia/Lord_Howe"))]
)
CLOCKS = st.times(max_value=time(23, 59)).map(lambda at: at.replace(second=0, microsecond=0))
WINDOWS = st.builds(Window, CLOCKS, CLOCKS, ZONES).filter(lambda each: each.opens != each.closes)
MOMENTS = st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
SPRING = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@given(WINDOWS, MOMENTS)
@example(Window(time(2, 10), time(2, 50), BERLIN), SPRING)
@example(Window(time(22), time(2, 30), BERLIN), SPRING)
@example(Window(time(2, 30), time(2, 10), BERLIN), AUTUMN)
@example(Window(time(1), time(2, 30), BERLIN), AUTUMN)
def test_opening_and_closing_agree(bound: Window, moment: datetime) -> None:
    """The opening is open and not before the moment; the closing is later, the first closed moment, and all
    between the two is open; what is before the opening is closed."""
    opening, closing = bound.opening(moment), bound.closing(moment)
    assert moment <= opening < closing
    assert bound.is_open(opening)
    assert bound.opening(opening) == opening
    assert bound.closing(opening) == closing
    assert bound.is_open(closing - SECOND)
    assert bound.is_open(opening + (closing - opening) / 2)
    following = bound.opening(closing)
    assert following > closing or bound.is_open(closing)
    if opening > moment:
        assert not bound.is_open(moment)
        assert not bound.is_open(opening - timedelta(microseconds=1))
        assert bound.opening(moment + (opening - moment) / 2) == opening


@given(WINDOWS, MOMENTS)
def test_it_opens_and_closes_when_the_clock_shows_it(bound: Window, moment: datetime) -> None:
    """Unless the clock skips that time: then at the end of the gap."""
    for at, shown in (
        (bound.opening(bound.closing(moment)), bound.opens),
        (bound.closing(moment), bound.closes),
    ):
        local = at.astimezone(bound.zone)
        before = (at - SECOND).astimezone(bound.zone)
        assert local.time().replace(tzinfo=None) == shown or local.utcoffset() != before.utcoffset()


@given(WINDOWS, MOMENTS, st.integers(0, 3 * 86400))
def test_time_only_moves_it_forward(bound: Window, moment: datetime, seconds: int) -> None:
    later = moment + timedelta(seconds=seconds)
    assert bound.opening(moment) <= bound.opening(later)
    assert bound.closing(moment) <= bound.closing(later)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-12-01 19:59:59", False),
        ("2026-12-01 20:00:00", True),
        ("2026-12-02 05:59:59", True),
        ("2026-12-02 06:00:00", False),
    ],
)
def test_it_has_its_first_moment_and_not_its_last(moment: str, is_open: bool) -> None:
    bound = window.of("20:00-06:00", "Asia/Shanghai")
    at = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo("Asia/Shanghai"))
    assert bound.is_open(at) is is_open


def test_the_night_in_which_the_clock_changes_has_its_own_length() -> None:
    """An hour less in spring, one more in autumn, by real time."""
    bound = window.of("20:00-06:00", "Europe/Berlin")
    lengths = [
        bound.closing(moment) - bound.opening(moment)
        for moment in (
            datetime(2026, 3, 28, 12, tzinfo=UTC),
            datetime(2026, 10, 24, 12, tzinfo=UTC),
            datetime(2026, 12, 1, 12, tzinfo=UTC),
        )
    ]
    assert lengths == [timedelta(hours=9), timedelta(hours=11), timedelta(hours=10)]


@pytest.mark.parametrize("text", ["", "20:00", "20:00-20:00", "20:00-25:00", "night", "20:00-06:00-08:00"])
def test_what_is_no_window_is_refused_in_words(text: str) -> None:
    with pytest.raises(UsageError, match="window"):
        window.of(text, "UTC")
