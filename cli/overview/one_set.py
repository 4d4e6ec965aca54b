"""``tapeline sets show``: all about one set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from cli.host import stack
from cli.render import output
from cli.render.output import AsJson
from db.sets import catalog
from db.sets.as_json import set_json
from policy import units
from policy.message import M, Message


def show_set(
    set_id: Annotated[
        str, typer.Argument(help="The set's id, as 'tapeline sets list' shows it.", metavar="SET")
    ],
    as_json: AsJson = False,
) -> None:
    """Show one backup set: what it contains, on which tapes, until when it is kept, which sets it needs, and
    its archives."""
    with stack.database() as database, database.transaction() as session:
        found = set_json(session, catalog.get(session, set_id))
    if as_json:
        output.print_json(found)
        return
    output.say(
        M("{set}: {type}, {state}", set=found["id"], type=found["type"], state=str(output.set_state(found))),
        style="bold",
    )
    output.print_facts(_facts(found))
    output.console.print()
    output.print_table(
        [M("Archive"), M("Tape"), M("Size"), M("Files"), M("Sealed")],
        (
            [
                each["number"],
                each["tape"],
                units.size(each["bytes"]),
                each["files"],
                output.local(each["sealed_at"]),
            ]
            for each in found["contents"]
        ),
        M("No archive of it is known."),
    )


def _facts(found: dict[str, Any]) -> Iterator[tuple[Message, Any]]:
    yield M("Template"), found["template"]
    yield M("Sources"), ", ".join(found["sources"])
    yield M("Files"), f"{found['files']:,}"
    yield M("Size"), units.size(found["bytes"])
    if found["warnings"]:
        yield M("Warnings"), found["warnings"]
    yield M("Tapes"), ", ".join(found["tapes"]) or None
    if found["follows"]:
        yield M("Needs"), ", ".join(found["follows"])
    yield M("Started"), output.local(found["started_at"])
    yield M("Finished"), output.local(found["finished_at"])
    yield M("Kept until"), output.local(found["retention_until"]) or "∞"
    if found["verified_at"]:
        damaged = M(
            "{at}: {damaged} damaged", at=output.local(found["verified_at"]), damaged=found["damaged"] or 0
        )
        yield M("Verified"), output.in_words(damaged)
    if found["run"]:
        yield M("Run"), found["run"]
