"""``tapeline audit``: who did what, when and from where."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import moment
from cli.host import stack
from cli.render import output
from cli.render.output import AsJson
from db.admin import audit
from db.admin.audit import Outcome
from policy.message import M, Message

ENDS = {Outcome.DONE: M("done"), Outcome.REFUSED: M("refused"), Outcome.FAILED: M("failed")}


def show_audit(
    who: Annotated[str | None, typer.Option(help="Only what this user did.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only what was done from this time on: 2026-11-20, '2026-11-20 18:00'.")
    ] = None,
    before: Annotated[
        int | None, typer.Option(min=1, help="Only entries with a smaller number: the next page.")
    ] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List who did what, when and from where: buttons, calls of the dashboard's API, and commands.

    Newest first. Entries are kept for ever. One without an end was interrupted.
    """
    after = moment.parse_start("--since", since) if since else None
    with stack.database() as database, database.transaction() as session:
        rows = audit.entries(session, limit=limit + 1, before=before, who=who, since=after)
        entries = [audit.as_json(each) for each in rows]
    shown = entries[:limit]
    if as_json:
        output.print_json(shown)
        return
    output.print_table(
        [M("No."), M("When"), M("Who"), M("From"), M("What"), M("End")],
        (
            [
                str(each["id"]),
                output.local(each["at"]),
                f"{each['who']} ({each['role']})" if each["role"] else each["who"],
                each["origin"],
                " ".join([each["what"], *(f"{name}={value!r}" for name, value in each["details"].items())]),
                _end(each["outcome"]),
            ]
            for each in shown
        ),
        M("Nobody has done anything yet."),
    )
    if len(entries) > limit:
        output.say(M("… and older ones: --before {number}", number=shown[-1]["id"]))


def _end(outcome: str | None) -> Message | str:
    return ENDS[Outcome(outcome)] if outcome else "-"
