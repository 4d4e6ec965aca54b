"""Tables and lists of checks on a terminal of any width, in both languages."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from celery_app import wiring
from cli.render import output
from notify.words import Words
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


def test_a_table_that_does_not_fit_a_terminal_is_cards(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At sixty columns each row is names and values below each other; a pipe gets the table as before."""
    rows = [["monthly", "full", "/srv/" + "y" * 50], ["nightly", "incremental", "/srv/b"]]
    columns = [M("Schedule"), M("Type"), M("Sources")]
    monkeypatch.setattr(
        output, "console", Console(highlight=False, force_terminal=True, width=60, no_color=True)
    )
    output.print_table(columns, rows, M("Nothing is due by itself."))
    narrow = [line for line in printed(capsys) if line]
    assert [line.split()[0] for line in map(plain, narrow)] == ["Schedule", "Type", "Sources"] * 2
    assert (
        len(
            {
                plain(line).index(value)
                for line, value in zip(narrow, ("monthly", "full", "/srv"), strict=False)
            }
        )
        == 1
    )
    monkeypatch.setattr(output, "console", Console(highlight=False, width=60))
    output.print_table(columns, rows, M("Nothing is due by itself."))
    assert len(printed(capsys)) == 3


def plain(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def test_states_are_in_the_operators_language(monkeypatch: pytest.MonkeyPatch) -> None:
    """In Chinese by their names, in messages too; in English by the words that options take."""
    change = M("{before} → {after}", before="RUNNING", after="FAILED")
    assert output.state("FAILED").plain == "FAILED"
    assert output.in_words(change) == "RUNNING → FAILED"
    monkeypatch.setattr(wiring, "words", lambda: Words("zh_CN"))
    assert output.state("FAILED").plain == "失败"
    assert output.state("FAILED").style == "red"
    assert output.in_words(change) == "运行中 → 失败"
    assert output.in_words(M("Tape {tape_id} is here", tape_id="FAILED")).endswith("FAILED is here")
