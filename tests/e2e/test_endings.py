"""What an operator reads when a run that was followed has ended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tape import virtual_shelf
from tests.system import System


@pytest.fixture
def source(short_path: Path) -> Path:
    folder = short_path / "source"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    return folder


def insert_blank(system: System) -> None:
    virtual_shelf.new_cartridge(system.drive.path, "A00001L9", capacity=10**9)
    virtual_shelf.insert(system.drive.path, "A00001L9")


def test_a_failure_is_shown_with_its_remedy_and_the_next_command(system: System, source: Path) -> None:
    """By the command that ran it, by the one that follows it, and in its story; a command that the remedy
    names is named once."""
    system.schedule("monthly", source)
    system.start("control", "tape")
    ran = system.cli("schedule", "run", "monthly", code=1).stdout
    watched = system.cli("runs", "watch", "1", code=1).stdout
    shown = system.cli("runs", "show", "1").stdout
    for told in (ran, watched, shown):
        assert "With the right tape in the drive: tapeline runs retry 1\n" in told
        assert told.count("runs retry 1") == 1

    insert_blank(system)
    shutil.rmtree(source)
    system.cli("runs", "retry", "1")
    again = system.cli("runs", "watch", "1", code=1).stdout
    remedy = system.json("runs", "show", "1")["remedy"]["id"]
    assert again.endswith(f"{remedy}\nTo go on: tapeline runs retry 1\n")
