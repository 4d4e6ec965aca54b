"""The report in words, as HTML and as CSV."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest

from notify.report import csv as csv_form
from notify.report.html import html
from notify.report.lines import Report
from notify.report.sample import REPORT
from notify.words import Language, Words

HOSTILE = "<img src=x onerror=alert(1)>"


def of(data: dict[str, Any], language: Language = "en") -> Report:
    return Report(data, Words(language), "Asia/Shanghai")


def with_schedules(**values: Any) -> dict[str, Any]:
    return {**REPORT, "schedules": [{**each, **values} for each in REPORT["schedules"]]}


def test_it_comes_also_when_all_is_well() -> None:
    """Then its title says so, and there is no chapter of what needs somebody."""
    well = of({**REPORT, "needs_somebody": []})
    assert well.title.endswith(": all is well")
    assert "Needs somebody" not in [chapter.title for chapter in well.chapters]
    assert of(REPORT).title.endswith(": 1 open")
    assert of({**REPORT, "needs_somebody": []}, "zh_CN").title.endswith("：一切正常")


def test_the_days_are_those_of_the_operators_clock() -> None:
    """The end is the first moment that is not in it."""
    assert of(REPORT).title.startswith("Report 2026-11-01 to 2026-11-30")
    assert of(REPORT).name == "tapeline-month-2026-11-01"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"protected_until": None}, "no backup yet"),
        ({"grows": -(10**9)}, "shrinks 1.0 GB a month"),
        ({"full": {**REPORT["schedules"][0]["full"], "damaged": 3}}, "3 damaged"),
        ({"full": {**REPORT["schedules"][0]["full"], "verified_at": None}}, "never verified"),
        ({"owed_since": "2026-11-30T17:00:00+00:00"}, "owes a backup since 2026-12-01 01:00"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_in_its_line(values: dict[str, Any], line: str) -> None:
    protected = next(each for each in of(with_schedules(**values)).chapters if each.title == "Protected")
    assert any(line in each for each in protected.lines)


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_the_page_loads_nothing_and_names_are_no_markup(language: Language) -> None:
    """No picture, script or style sheet from anywhere; every schedule with several sets has its bars."""
    page = html(of(with_schedules(schedule=HOSTILE), language))
    assert not re.search(r"(?:src|href|url)\s*[=(]", page.replace("&lt;img src=x", ""))
    assert HOSTILE not in page
    assert "&lt;img" in page
    assert page.count('bgcolor="#2f6fb0"') == 12


def test_the_figures_are_read_by_a_spreadsheet() -> None:
    """A line for each schedule, numbers as numbers; a name that looks like a formula is none."""
    text = csv_form.text(with_schedules(schedule="=cmd()"))
    assert text.startswith("\ufeff")
    lines = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [line["schedule"] for line in lines] == ["'=cmd()", "'=cmd()"]
    assert lines[0]["full_bytes"] == "5600000000000"
    assert lines[1]["increment_files"] == "812"
    assert lines[1]["full_bytes"] == ""
