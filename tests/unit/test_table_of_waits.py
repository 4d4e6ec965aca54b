"""Each row of the table of waits names a test, and each of these tests exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")


def rows() -> list[list[str]]:
    """The cells of the table, without its head."""
    chapter = PAGE.partition("## The table of waits")[2].partition("\n## ")[0]
    lines = [line for line in chapter.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_table_is_there() -> None:
    """With everything outside that is waited for."""
    found = " ".join(row[0] for row in rows())
    for word in (
        "source",
        "share",
        "tape",
        "chip",
        "program",
        "webhook",
        "broker",
        "database",
        "locked",
        "operator",
    ):
        assert word in found


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_a_row(row: list[str]) -> None:
    """An end, somebody who learns of it, and a test that can be found."""
    waited_for, end, who, tests = row
    assert waited_for
    assert end
    assert who
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)
    assert named
    for file, test in named:
        assert re.search(rf"^ *def {test}\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE), test
