"""``tapeline clock``: a person confirms the time, if the clock has nothing to compare with."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import person
from cli.host import stack
from cli.render import output
from cli.render.output import AsJson, examples
from db import leaps
from db.models import now
from policy.message import M

app = typer.Typer(no_args_is_help=True)


@app.callback()
def clock() -> None:
    """The clock that decides what is past retention."""


@app.command(epilog=examples('tapeline clock confirm --why "it was switched off all summer"'))
def confirm(
    why: Annotated[
        str, typer.Option(help="Why the clock has jumped; stored with your name.", metavar="TEXT")
    ],
    as_json: AsJson = False,
) -> None:
    """Confirm that the clock is right, although it jumped further than ever without a sign of life.

    No tape is formatted until then, because a clock that is far ahead makes every kept set look expired.
    Compare it with another clock first. The database records who confirmed it, when and why.
    """
    reason = person.reason(why)
    with stack.database() as database, database.transaction() as session:
        mark = leaps.confirm(session, now(), person.name(), reason)
        confirmed = {
            "now": mark.begun_at.isoformat(),
            "last_seen": None,
            "by": mark.confirmed_by,
            "why": mark.why,
        }
        if mark.leapt_from is not None:
            confirmed["last_seen"] = mark.leapt_from.isoformat()
    if as_json:
        output.print_json(confirmed)
        return
    output.say(
        M(
            "Confirmed by {who}: it is {now}. Runs that wait for it go on by themselves.",
            who=confirmed["by"],
            now=output.local(confirmed["now"]),
        )
    )
