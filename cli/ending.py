"""How a run ended: its state, what to do about it, the command that goes on, and the exit code."""

from __future__ import annotations

from typing import Any

import typer

from cli import output
from db.states import RunState
from policy.message import M


def leave(run: dict[str, Any]) -> None:
    """Say how a run that was followed ended and exit with the code of its state. Raises typer.Exit."""
    say(run)
    raise typer.Exit(output.ENDING_CODES.get(run["state"], 1))


def say(run: dict[str, Any]) -> None:
    """The last lines of a command that followed a run."""
    state = run["state"]
    output.say(M("Run {id}: {state}", id=run["id"], state=state), style=output.STYLES.get(state))
    say_remedy(run)
    say_way_on(run)


def say_remedy(run: dict[str, Any]) -> None:
    """What to do about a run that failed or waits, as its error said it; nothing for any other."""
    if run["remedy"]:
        output.console.print(output.message(run["remedy"]), markup=False, soft_wrap=True)


def say_way_on(run: dict[str, Any]) -> None:
    """The command that goes on after a failure, unless the remedy has named it."""
    command = run["next_command"]
    if run["state"] != RunState.FAILED or command in (output.message(run["remedy"]) or ""):
        return
    output.say(M("To go on: {command}", command=command))
