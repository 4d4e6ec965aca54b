"""Texts in the operator's language."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.words import Language, Words
from policy.errors import TapelineError, UsageError
from policy.message import M, Message

ENGLISH = Words("en")
CHINESE = Words("zh_CN")


def test_message_is_translated_and_filled_in() -> None:
    """A message is shown in the language of the words, with its parameters."""
    message = Message("There is no schedule '{name}'.", {"name": "每日"})
    assert ENGLISH.text(message) == "There is no schedule '每日'."
    assert CHINESE.text(message) == "没有计划“每日”。"


@pytest.mark.parametrize("as_stored", [False, True])
def test_message_inside_a_message_is_translated(as_stored: bool) -> None:
    """A parameter that is itself a message, as it is or as JSON, is translated too."""
    inner = Message("There is no tape in the drive.")
    outer = Message("Skipped: {reason}", {"reason": inner.to_json() if as_stored else inner})
    assert CHINESE.text(outer) == "已跳过：磁带机中没有磁带。"
    assert ENGLISH.text(outer) == "Skipped: There is no tape in the drive."


@pytest.mark.parametrize(
    ("files", "archives", "english"),
    [
        (1, 1, "1 file, 2 kB, from 1 archive of A."),
        ("1", 2, "1 file, 2 kB, from 2 archives of A."),
        ("1,001", 0, "1,001 files, 2 kB, from 0 archives of A."),
    ],
)
def test_one_is_said_otherwise_than_many(files: int | str, archives: int, english: str) -> None:
    """English has a singular; Chinese needs none."""
    params = {"files": files, "size": "2 kB", "archives": archives, "sets": "A"}
    message = Message("{files} files, {size}, from {archives} archives of {sets}.", params)
    assert ENGLISH.text(message) == english
    assert f"{files} 个文件" in CHINESE.text(message)


def test_no_text_stays_no_text() -> None:
    """The empty message, which heads a column without a name, is empty in every language."""
    assert CHINESE.text(Message("")) == ENGLISH.text(Message("")) == ""


def test_text_of_another_version_is_shown_in_english() -> None:
    """A stored message that the catalogue no longer knows is shown as it was written."""
    assert CHINESE.text(Message("Gone since {year}.", {"year": 2020})) == "Gone since 2020."


def test_error_is_one_line_with_its_remedy() -> None:
    """An error says what happened and what to do, in one line."""
    error = TapelineError(Message("There is no step '{name}'.", {"name": "x"}), Message("Correct it."))
    assert ENGLISH.error(error) == "There is no step 'x'. Correct it."
    assert CHINESE.error(error) == "没有步骤“x”。请更正。"
    assert ENGLISH.error(TapelineError(Message("Correct it."))) == "Correct it."


def test_unknown_language_is_refused() -> None:
    """A language without a catalogue is a usage error that names the two there are."""
    unknown: Language = "xx"  # type: ignore[assignment]  # as a configuration file may say
    with pytest.raises(UsageError, match=r"'xx'.*zh_CN or en"):
        Words(unknown)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1_234_000_000, "1.2 GB"),
        (18_000_000_000_000, "18.0 TB"),
        (5 * 10**21, "5000.0 EB"),
    ],
)
def test_sizes_are_decimal(size: int, text: str) -> None:
    """Sizes are in powers of 1000 with one decimal, and never 1000.0 of a unit that has a next one."""
    assert ENGLISH.size(size) == text


@given(st.integers(min_value=0, max_value=10**21))
def test_a_size_is_never_far_from_the_truth(size: int) -> None:
    """What a size says is within a twentieth of the first unit shown, whatever the size."""
    number, unit = ENGLISH.size(size).split()
    factor = 1000 ** ["B", "kB", "MB", "GB", "TB", "PB", "EB"].index(unit)
    assert abs(float(number) * factor - size) <= factor * 0.0501
    assert float(number) < 1000 or unit == "EB"


def test_rate_needs_some_time() -> None:
    """A rate is bytes a second, and there is none where no time has passed."""
    assert ENGLISH.rate(3_000_000, 2) == "1.5 MB/s"
    assert ENGLISH.rate(3_000_000, 0) is None


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (0.4, "0 s", "0 秒"),
        (59.6, "1 min 0 s", "1 分 0 秒"),
        (3_599, "59 min 59 s", "59 分 59 秒"),
        (9_000, "2 h 30 min", "2 小时 30 分"),
        (100_000, "1 d 3 h", "1 天 3 小时"),
    ],
)
def test_durations_have_two_units(seconds: float, english: str, chinese: str) -> None:
    """A duration is shown in its two largest units, in words of the language."""
    assert ENGLISH.duration(seconds) == english
    assert CHINESE.duration(seconds) == chinese


def test_moment_is_on_the_operators_clock() -> None:
    """A time is shown on the clock of the time zone asked for, and names it."""
    moment = datetime(2026, 11, 30, 18, 5, tzinfo=UTC)
    assert CHINESE.moment(moment, "Asia/Shanghai") == "2026-12-01 02:05 (Asia/Shanghai)"


def test_a_local_time_has_its_weekday_in_words_of_the_language() -> None:
    """A schedule's next time is read against a calendar on the wall."""
    moment = datetime(2026, 12, 1, 2, 0)  # noqa: DTZ001 - a local time
    assert ENGLISH.clock(moment) == "2026-12-01 Tue 02:00"
    assert CHINESE.clock(moment) == "2026-12-01 周二 02:00"


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "Asia"])
def test_unknown_time_zone_is_a_usage_error(name: str) -> None:
    """A time zone that does not exist is refused in words."""
    with pytest.raises(UsageError, match="is not a time zone"):
        ENGLISH.moment(datetime(2026, 11, 30, tzinfo=UTC), name)


def test_moment_without_a_time_zone_is_a_bug() -> None:
    """A naive time is never guessed to be of any zone."""
    with pytest.raises(ValueError, match="without a time zone"):
        ENGLISH.moment(datetime(2026, 11, 30), "Asia/Shanghai")  # noqa: DTZ001 - naive on purpose


def test_numbers_have_their_thousands_apart() -> None:
    """Counts of files can be read."""
    assert ENGLISH.number(1_234_567) == "1,234,567"
    assert CHINESE.number(1_234_567) == "1,234,567"


def test_english_needs_no_catalogue() -> None:
    """In English the id is the text."""
    assert ENGLISH.text(M("Not needed: {reason}", reason="x")) == "Not needed: x"
