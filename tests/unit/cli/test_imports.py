"""A command loads what it needs, so that it answers at once; help needs names only."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from cli.lazy import Command
from cli.main import app
from cli.tree import COMMANDS, SECTIONS

HEAVY = {"alembic", "babel", "celery", "jinja2", "psycopg2", "pydantic", "rich", "sqlalchemy", "structlog"}

_LIST = """
import sys
from cli.main import main
try:
    main()
finally:
    sys.stderr.write("\\n" + " ".join(sorted(sys.modules)))
"""


def loaded(*words: str) -> set[str]:
    """The modules of a process that ran a command with these words."""
    done = subprocess.run(
        [sys.executable, "-c", _LIST, *words], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stderr.splitlines()[-1].split())


def test_the_help_of_everything_loads_none_of_it() -> None:
    found = loaded("--help")
    assert not found & HEAVY
    assert not {name for name in found if name.startswith(("db", "cli.commands", "cli.host", "celery_app"))}


@pytest.mark.parametrize(
    "words",
    [("status",), ("schedule", "list"), ("runs",), ("sets", "list"), ("tape", "list"), ("drive", "list")],
)
def test_a_command_that_lists_loads_neither_celery_nor_drivers(words: tuple[str, ...]) -> None:
    """Its module with everything that it imports at the top, as before it begins to work."""
    found = loaded(*words, "--help")
    assert "sqlalchemy" in found
    assert not found & {"alembic", "celery", "jinja2", "kombu", "yaml"}
    assert not {
        name
        for name in found
        if name.startswith(("backup", "tape.ltfs.", "tape.virtual", "embedded", "tasks"))
    }


def _every(commands: dict[str, Command], path: str = "") -> list[tuple[str, Command]]:
    return [
        pair
        for name, each in commands.items()
        for pair in [(f"{path} {name}".strip(), each), *_every(dict(each.more), f"{path} {name}")]
    ]


@pytest.mark.parametrize(("path", "command"), _every(COMMANDS), ids=lambda value: str(value)[:30])
def test_every_name_leads_to_its_command(path: str, command: Command) -> None:
    """The line in the list is short enough to be shown whole, and the command is where the table has it."""
    group: object = typer.main.get_command(app)
    for name in path.split():
        group = group.commands[name]  # type: ignore[attr-defined]
    assert group.name == path.split()[-1]  # type: ignore[attr-defined]
    assert len(command.help) <= 80 - 4 - 8 - 2


def test_each_command_is_in_one_section_of_the_help() -> None:
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(COMMANDS)
    shown = subprocess.run(
        [sys.executable, "-c", _LIST, "--help"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert [line.rstrip(":") for line in shown.splitlines() if line.rstrip(":") in SECTIONS] == [*SECTIONS]
    for heading, names in SECTIONS.items():
        section = shown.partition(f"\n{heading}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in section.splitlines() if line[2] != " "] == [*names]
