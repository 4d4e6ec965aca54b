"""Tables and lists of checks on a terminal of any width, in both languages."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from cli.render import output
from policy.message import M


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_columns_begin_below_each_other_and_no_line_ends_in_blanks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chinese takes two cells; nothing is cut, however narrow the terminal; a long last cell makes no empty
    lines of the others."""
    monkeypatch.setenv("COLUMNS", "40")
    rows = [["每月全量", "x" * 60, "a"], ["b[red]", None, "/srv/" + "y" * 80], ["SKIPPED", 3, ""]]
    output.print_table([M("Schedule"), M("Type"), M("Sources")], rows, M("Nothing is due by itself."))
    lines = printed(capsys)
    assert len(lines) == 4
    assert lines == [line.rstrip() for line in lines]
    assert {
        cell_len(line[: line.index(mark)]) for line, mark in zip(lines, ("Sou", "a", "/srv"), strict=False)
    } == {72}
    assert "b[red]" in lines[2]
    assert "y" * 80 in lines[2]


def test_an_empty_table_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    """One line instead of a heading over nothing."""
    output.print_table([M("Schedule")], [], M("Nothing is due by itself."))
    assert printed(capsys) == ["Nothing is due automatically."]


def test_names_of_checks_are_padded_by_cells(capsys: pytest.CaptureFixture[str]) -> None:
    """The findings stand below each other, whatever the language of their names."""
    names = [M("备份源"), M("drive")]
    for name in names:
        output.print_finding("✓", name, output.widest(names), "fine", "green")
    assert printed(capsys) == ["✓ 备份源  fine", "✓ drive   fine"]
