"""Which commands are entered in the audit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from cli.host.audited import CHANGES, SHOWS, entered_command
from cli.main import app


def commands(group: Any, path: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield path + name
            yield from commands(command, f"{path}{name} ")
        else:
            yield path + name


def test_every_command_changes_something_or_only_shows() -> None:
    """A new command is named there, or this fails."""
    found = set(commands(typer.main.get_command(app)))
    assert not CHANGES & SHOWS
    assert found == CHANGES | SHOWS


@pytest.mark.parametrize(
    ("words", "entered"),
    [
        (["--debug", "runs", "retry", "12"], "tapeline runs retry 12"),
        (["run", "/data"], "tapeline run /data"),
        (["runs", "show", "12"], None),
        (["schedule", "apply", "file", "--dry-run"], None),
        (["schedule", "apply", "--help"], None),
        ([], None),
        (["freeze", "--why", "x://u:p@h"], "tapeline freeze --why x://u:***@h"),
    ],
)
def test_a_command_line_as_it_is_entered(words: list[str], entered: str | None) -> None:
    assert entered_command(words) == entered
