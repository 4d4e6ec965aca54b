"""The fleet of the benchmarks, for two days: it works, and it notices what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fleet import tables, year
from benchmarks.fleet.size import FleetSize
from db.runs import starting
from policy.message import M

SMALL = FleetSize(drives=2, hosts=1, days=2)


def test_a_small_fleet_keeps_every_invariant(short_path: Path) -> None:
    """Runs succeed, their sets come back from the tapes, and the tables have what they promise. How many
    there are depends on the day of the week and of the month."""
    made = year.measure(short_path, SMALL)
    facts = dict(made.facts)
    assert made.marks[-1].runs >= SMALL.drives * SMALL.days
    assert int(facts["runs SUCCEEDED"]) >= SMALL.drives
    assert made.restored >= SMALL.drives
    assert [mark.day for mark in made.marks] == [1, 2]
    assert [title.split()[0] for title, _, _ in tables.of_year(made, SMALL)] == ["A", "As", "What"]


def test_it_ends_where_an_invariant_is_broken(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is skipped and announced to nobody ends the year with its number."""
    monkeypatch.setattr(starting, "_refusal", lambda *_: M("Nobody wants it."))
    monkeypatch.setattr(starting.announcing, "announce_state", lambda *_: None)
    with pytest.raises(AssertionError, match="came 1 times to SKIPPED, and was announced 0 times"):
        year.measure(short_path, SMALL)
