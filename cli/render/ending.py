"""How a run ended: its state, the remedy, the command to continue with, and the exit code."""

from __future__ import annotations

from typing import Any

import typer
from rich.text import Text

from cli.render import output
from db.states import RunState
from notify import states
from policy.message import M


def leave(run: dict[str, Any]) -> None:
    """Show how a followed run ended and exit with the code of its state. Raises typer.Exit."""
    say(run)
    raise typer.Exit(states.exit_code(run["state"]))


def say(run: dict[str, Any]) -> None:
    """The last lines of a command that followed a run."""
    output.say(M("Run {id}: {state}", id=run["id"], state=state(run)), style=style(run))
    say_remedy(run)
    say_way_on(run)


def state(run: dict[str, Any]) -> str:
    """The state of a run; a success that left something out shows that."""
    name, count = str(run["state"]), _warnings(run)
    text = M("{state}, {count} warnings", state=name, count=count)
    return output.in_words(text) if count else output.state(name).plain


def style(run: dict[str, Any]) -> str | None:
    """The colour of a run's state; a success that left something out has that of a warning."""
    return "yellow" if _warnings(run) else states.style(run["state"])


def _warnings(run: dict[str, Any]) -> int:
    return int(run["warnings"]) if run["state"] == RunState.SUCCEEDED else 0


def step_state(step: dict[str, Any]) -> Text | str:
    """The state of a step; that of the message is no plain success if nobody got it, and the step at which a
    run waits for a tape shows that."""
    if step.get("waits"):
        return output.state(RunState.WAITING_FOR_TAPE.value)
    state, untold = str(step["state"]), UNTOLD.get(step.get("told", ""))
    if untold is None:
        return output.state(state)
    return Text(output.in_words(M("{state}, {told}", state=state, told=untold.to_json())), "yellow")


UNTOLD = {"nobody": M("nobody was told"), "lost": M("not sent")}
"""The word for a message that went to nobody."""


def say_remedy(run: dict[str, Any]) -> None:
    """The remedy for a run that failed or waits, from its error; nothing for any other."""
    if run["remedy"]:
        output.console.print(output.message(run["remedy"]), markup=False, soft_wrap=True)


def say_way_on(run: dict[str, Any]) -> None:
    """The command to continue with after a failure, unless the remedy has named it."""
    command = run["next_command"]
    if run["state"] != RunState.FAILED or command in (output.message(run["remedy"]) or ""):
        return
    output.say(M("To go on: {command}", command=command))
