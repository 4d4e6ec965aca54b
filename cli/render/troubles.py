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
    """Name what does not start automatically, and the command that releases it; nothing if everything
    starts."""
    names = [
        *(M("run {run}", run=number) for number in held["runs"]),
        *(M("schedule '{schedule}'", schedule=name) for name in held["schedules"]),
    ]
    if names:
        output.say(
            M(
                "Held since the database was restored: {names}. When every tape that was written since is"
                " imported: tapeline database release --all",
                names=", ".join(output.in_words(each) for each in names),
            ),
            style="yellow",
        )
