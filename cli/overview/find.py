"""``tapeline sets find``: versions of files, by name, size and time."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import moment
from cli.host import stack
from cli.render import output
from cli.render.output import AsJson
from db.sets import versions
from policy import units
from policy.errors import UsageError
from policy.message import M


def find_files(
    pattern: Annotated[
        str, typer.Argument(help="A part of the name, or a pattern with * and ?; with a slash, of the path.")
    ],
    set_id: Annotated[str | None, typer.Option("--set", help="Only in this set.")] = None,
    larger: Annotated[
        str | None, typer.Option(help="Of at least this size, e.g. '10 MB'.", metavar="SIZE")
    ] = None,
    smaller: Annotated[str | None, typer.Option(help="Of at most this size.", metavar="SIZE")] = None,
    since: Annotated[
        str | None, typer.Option(help="Changed at this time or later, e.g. 2026-11-01.", metavar="TIME")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Changed at this time or before.", metavar="TIME")] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many at most.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Find versions of files in the catalogue, the newest first, with the tapes of each. Case is ignored.
    Exit code 1 if there is none."""
    search = versions.FileSearch(
        pattern,
        set_id,
        at_least=_size("--larger", larger),
        at_most=_size("--smaller", smaller),
        changed_since=moment.parse_start("--since", since) if since else None,
        changed_until=moment.parse("--until", until) if until else None,
    )
    with stack.database() as database, database.transaction() as session:
        matches = versions.find(session, search, limit)
    if as_json:
        output.print_json(matches.versions)
    else:
        _show_found(matches, pattern)
    if matches.more:
        more, total = matches.more, len(matches.versions) + matches.more
        plus = "" if matches.is_counted else "+"
        output.add(
            M(
                "… and {count} more, {total} in all: -n shows more, a longer name fewer.",
                count=f"{more:,}{plus}",
                total=f"{total:,}{plus}",
            )
        )
    elif matches.versions and not as_json:
        output.add(M("Versions: {count}", count=f"{len(matches.versions):,}"))
    raise typer.Exit(0 if matches.versions else 1)


def _size(option: str, text: str | None) -> int | None:
    try:
        return units.read_size(text) if text is not None else None
    except ValueError as error:
        raise UsageError(
            M("{option}: '{text}' is not a size.", option=option, text=text),
            M("Write a number with its unit: 500 kB, 1.5 GB, 4 GiB."),
        ) from error


def _show_found(found: versions.FoundVersions, pattern: str) -> None:
    output.print_table(
        [M("Set"), M("Backed up"), M("Tapes"), M("Size"), M("Changed"), M("Path")],
        (
            [
                row["set"],
                output.local(row["backed_up_at"]),
                ", ".join(row["tapes"]) or None,
                units.size(row["size"]),
                output.local_ns(row["mtime_ns"]),
                row["path"],
            ]
            for row in found.versions
        ),
        M("No file matches '{pattern}'.", pattern=pattern),
    )
