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
        stored = set_json(session, catalog.get(session, set_id))
    if as_json:
        output.print_json(stored)
        return
    output.say(
        M(
            "{set}: {type}, {state}",
            set=stored["id"],
            type=stored["type"],
            state=str(output.set_state(stored)),
        ),
        style="bold",
    )
    output.print_facts(_facts(stored))
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
            for each in stored["contents"]
        ),
        M("No archive of it is known."),
    )


def copy_in_words(stored: dict[str, Any], copy: dict[str, Any]) -> str:
    """The tape of a copy; of one that is not whole, how many archives it has."""
    whole = copy["archives"] == stored["archives"]
    return copy["tape"] if whole else f"{copy['tape']} ({copy['archives']}/{stored['archives']})"


def _facts(stored: dict[str, Any]) -> Iterator[tuple[Message, Any]]:
    yield M("Template"), stored["template"]
    yield M("Sources"), ", ".join(stored["sources"])
    yield M("Files"), f"{stored['files']:,}"
    yield M("Size"), units.size(stored["bytes"])
    if stored["warnings"]:
        yield M("Warnings"), stored["warnings"]
    if stored["broken_dumps"]:
        yield M("Dumps that broke off"), ", ".join(stored["broken_dumps"])
    yield M("Tapes"), ", ".join(stored["tapes"]) or None
    if stored["copies"]:
        yield M("Copies"), ", ".join(copy_in_words(stored, each) for each in stored["copies"])
    if stored["follows"]:
        yield M("Needs"), ", ".join(stored["follows"])
    yield M("Started"), output.local(stored["started_at"])
    yield M("Finished"), output.local(stored["finished_at"])
    yield M("Kept until"), output.local(stored["retention_until"]) or "∞"
    if stored["verified_at"]:
        damaged = M(
            "{at}: {damaged} damaged", at=output.local(stored["verified_at"]), damaged=stored["damaged"] or 0
        )
        yield M("Verified"), output.in_words(damaged)
    if stored["run"]:
        yield M("Run"), stored["run"]
