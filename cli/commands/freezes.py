"""``tapeline freeze`` and ``unfreeze``: no tape is formatted during an investigation."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import person
from cli.host import stack
from cli.render import output
from cli.render.output import AsJson
from db import freezes
from policy.message import M


def freeze(
    name: Annotated[str | None, typer.Argument(help="The name to lift it by; a number if left out.")] = None,
    why: Annotated[str, typer.Option(help="It is in every message.", metavar="TEXT")] = "",
    as_json: AsJson = False,
) -> None:
    """Stop all formats from now on, even of tapes past their retention, until the freeze is lifted by its
    name.

    Use it while nobody knows which data will be needed, for example after files were encrypted or deleted.
    Backups continue on tapes that can be appended to; a run that needs a format waits, or fails.
    """
    reason = person.reason(why)
    with stack.database() as database, database.transaction() as session:
        made = freezes.freeze(session, name, person.name(), reason)
        frozen = freezes.as_json(made)
    if as_json:
        output.print_json(frozen)
    else:
        output.say(
            M(
                "No tape is formatted from now on. To lift it: tapeline unfreeze {name} --why TEXT",
                name=made.name,
            )
        )


def unfreeze(
    name: Annotated[str, typer.Argument(help="Its name; 'tapeline status' shows it.")],
    why: Annotated[str, typer.Option(help="Stored with your name.", metavar="TEXT")] = "",
    as_json: AsJson = False,
) -> None:
    """Lift a freeze. If it was the last one, tapes are formatted again, and waiting runs continue."""
    reason = person.reason(why)
    with stack.database() as database, database.transaction() as session:
        lifted = freezes.as_json(freezes.lift(session, name, person.name(), reason))
        left = [each.name for each in freezes.standing(session)]
    if as_json:
        output.print_json({**lifted, "left": left})
        return
    output.say(M("Freeze '{name}' is lifted.", name=name))
    if left:
        output.say(M("Formats stay frozen: {names}.", names=", ".join(left)), style="yellow")
