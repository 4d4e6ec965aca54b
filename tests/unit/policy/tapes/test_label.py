"""Labels of tapes."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.errors import UsageError
from policy.tapes import label

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


@given(MOMENTS, st.integers(1, 999))
def test_a_monthly_label_is_read_as_it_is_written(moment: datetime, sequence: int) -> None:
    """Writing a label and reading it gives the same year, month and number."""
    written = label.MonthlyLabel(moment.year, moment.month, sequence)
    assert label.parse(str(written)) == written
    assert written.is_of(moment)
    assert label.check(str(written)) == str(written)


@pytest.mark.parametrize(
    "text",
    [
        "TP20261301",
        "TP20260001",
        "TP20261100",
        "TP2026111",
        "TP202611001",
        "TP202611099",
        "TP2026111000",
        "tp20261101",
        "TP20261101 ",
        "XTP20261101",
        "",
        None,
    ],
)
def test_what_is_not_a_monthly_label_is_foreign(text: str | None) -> None:
    """Only TP, four digits, a month and a number from 01 to 999 is a monthly label."""
    assert label.parse(text) is None


@given(MOMENTS, st.sets(st.integers(1, 998)) | st.just(set(range(1, 150))))
def test_the_next_free_number_is_asked_for(moment: datetime, taken: set[int]) -> None:
    """The label asked for is the lowest of the month that no other cartridge has."""
    labels = {str(label.MonthlyLabel(moment.year, moment.month, number)) for number in taken}
    asked = label.parse(label.to_ask_for(moment, labels))
    assert asked is not None
    assert asked.sequence == min(set(range(1, 1000)) - taken)


@pytest.mark.parametrize("text", ["-f", "a b", "a;b", "", "x" * 33, "磁带", "a/b", "a\nb"])
def test_a_label_given_by_hand_cannot_be_misread_by_a_program(text: str) -> None:
    """Nothing that a command line or a file system could misread is a label."""
    with pytest.raises(UsageError, match="breaks the rule"):
        label.check(text)


LABELS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", fullmatch=True)


@given(LABELS)
def test_a_volume_serial_is_six_characters(text: str) -> None:
    """Every label gives a serial that LTFS takes, and always the same."""
    serial = label.serial_for(text)
    assert re.fullmatch("[A-Z0-9]{6}", serial)
    assert serial == label.serial_for(text)
    assert serial[0].isdigit() == (label.parse(text) is not None)


def test_every_monthly_label_of_a_century_has_a_serial_of_its_own() -> None:
    """Two tapes of a month differ, and so do those of any two months."""
    names = [
        str(label.MonthlyLabel(year, month, sequence))
        for year in range(2000, 2100)
        for month in range(1, 13)
        for sequence in (range(1, 1000) if month == 1 else (1, 99, 100, 999))
        if year % 10 == 0 or sequence < 101
    ]
    assert len({label.serial_for(name) for name in names}) == len(names)


@given(st.sets(LABELS, min_size=2, max_size=2))
def test_labels_by_hand_have_serials_of_their_own(two: set[str]) -> None:
    """Made of the whole label, so that the like ones differ too."""
    assert len({label.serial_for(text) for text in two}) == 2


@pytest.mark.parametrize(
    ("name", "serial"),
    [
        ("TP20261101", "261101"),
        ("TP20261102", "261102"),
        ("TP20261199", "261199"),
        ("TP202611100", "2611A0"),
        ("TP202611136", "2611B0"),
        ("TP202611999", "2611YZ"),
        ("TP21010599", "010599"),
    ],
)
def test_a_volume_serial(name: str, serial: str) -> None:
    """Year, month and number of a monthly label, as somebody reads them off the tape."""
    assert label.serial_for(name) == serial


def test_the_hundredth_tape_of_a_month_has_three_digits() -> None:
    """A hundred drives that each take a tape of the month find a label."""
    november = datetime(2026, 11, 1, tzinfo=UTC)
    taken = {f"TP202611{number:02d}" for number in range(1, 100)}
    assert label.to_ask_for(november, taken) == "TP202611100"
    assert label.to_ask_for(november, {*taken, "TP202611100"}) == "TP202611101"


def test_a_month_has_999_labels() -> None:
    """The last one is given; after it the refusal says what to do."""
    november = datetime(2026, 11, 1, tzinfo=UTC)
    taken = {f"TP202611{number:02d}" for number in range(1, 999)}
    assert label.to_ask_for(november, taken) == "TP202611999"
    with pytest.raises(UsageError, match=r"All 999 labels of 2026-11 are taken\. Retire cartridges"):
        label.to_ask_for(november, {*taken, "TP202611999"})


def test_a_label_that_breaks_the_rule_is_refused_with_it() -> None:
    """The remedy is the rule."""
    with pytest.raises(UsageError, match="Use 1 to 32 of the characters"):
        label.check("-x")
