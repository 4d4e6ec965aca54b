"""A newcomer finds the file: rooms and files stay small enough to be looked through."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests")
MAX_LINES = 400
MAX_FILES = 18
"""Python files of one room, its ``__init__.py`` included."""
GROWS = ROOT / "db" / "migrations" / "versions"
"""One file for each change of the tables, never edited again."""


def rooms() -> list[Path]:
    found = [room.parent for package in PACKAGES for room in package.rglob("__init__.py")]
    return [room for room in found if room != GROWS]


@pytest.mark.parametrize("room", rooms(), ids=lambda room: room.relative_to(ROOT).as_posix())
def test_a_room_is_looked_through_at_a_glance(room: Path) -> None:
    """Where a room outgrows this, it shows no order any more: give its parts rooms of their own."""
    files = sorted(room.glob("*.py"))
    assert len(files) <= MAX_FILES
    for file in files:
        assert len(file.read_text("utf-8").splitlines()) <= MAX_LINES, file.name


@pytest.mark.parametrize("room", rooms(), ids=lambda room: room.relative_to(ROOT).as_posix())
def test_a_room_has_a_sentence_about_itself(room: Path) -> None:
    first = (room / "__init__.py").read_text("utf-8").strip()
    assert first.startswith('"""') or room == ROOT / "db" / "migrations"
