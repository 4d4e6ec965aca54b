"""How commands show what does not go on: channels that take no messages, what is held."""

from __future__ import annotations

from typing import Any

from cli.render import output
from policy.message import M, Message


def in_trouble(name: str, trouble: dict[str, Any]) -> Message:
    """A channel's undelivered messages, as ``db.outbox.troubles`` counts them."""
    return M(
        "Channel {name} since {since}: {waiting} messages wait, {lost} did not go through: {error}",
        name=name,
        waiting=trouble["waiting"],
        lost=trouble["lost"],
        since=output.local(trouble["since"]),
        error=trouble["said"] or trouble["error"],
    )


def say_held(held: dict[str, list[Any]]) -> None:
    """Print ``in_hold``, if something is held."""
    text = in_hold(held)
    if text is not None:
        output.say(text, style="yellow")


def in_hold(held: dict[str, list[Any]]) -> Message | None:
    """What does not start automatically, and the command that releases it; None: everything starts."""
    names = [
        *(M("run {run}", run=number) for number in held["runs"]),
        *(M("schedule '{schedule}'", schedule=name) for name in held["schedules"]),
    ]
    if not names:
        return None
    return M(
        "Held since the database was restored: {names}. When every tape that was written since is"
        " imported: tapeline database release --all",
        names=", ".join(output.in_words(each) for each in names),
    )
