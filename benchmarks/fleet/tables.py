"""The tables of a fleet's year."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.fleet.size import FleetSize
from benchmarks.fleet.year import Year

Lines = Sequence[Sequence[str]]


def of_year(year: Year, size: FleetSize) -> Iterator[tuple[str, Sequence[str], Lines]]:
    """Each with its title and its head."""
    named = f"{size.drives} drives on {size.hosts} hosts, {size.days} days, seed {size.seed}"
    yield f"A fleet of {named}", ("what", "how many"), [*year.facts, *_in_all(year)]
    head = (
        *("day", "runs", "sets", "statements a run", "time a run", "beat's look", "database"),
        *("its copy", "the copy takes"),
    )
    yield (
        "As it grows",
        head,
        [
            (
                f"{mark.day}",
                f"{mark.runs:,}",
                f"{mark.sets:,}",
                f"{mark.statements:.0f}",
                f"{1000 * mark.run_seconds:.0f} ms",
                f"{1000 * mark.look_seconds:.0f} ms",
                f"{mark.database / 1e6:.0f} MB",
                f"{mark.copy / 1e6:.2f} MB",
                f"{mark.copy_seconds:.2f} s",
            )
            for mark in year.marks
        ],
    )
    yield "What grows", ("table", "rows", "size", "rows a run", "bytes a run"), year.tables


def _in_all(year: Year) -> Lines:
    return [
        ("sets restored from tape at the end", f"{year.restored:,}"),
        ("invariants", "kept"),
        ("wall time", f"{year.seconds:.0f} s"),
    ]
