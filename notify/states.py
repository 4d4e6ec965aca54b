"""How a state is shown, wherever it is: by one word, its colours, a mark, and as an exit code."""

from __future__ import annotations

from typing import NamedTuple

from policy.message import M, Message


class Shown(NamedTuple):
    """A state of a run, a step, a tape or a set."""

    word: Message
    page: str
    """The colour on a page: a class of Bootstrap."""
    terminal: str | None = None
    """The colour on a terminal, if it has one."""
    mark: str = ""
    """Before the line of a story that ends a step."""
    exit_code: int = 1
    """Of a command that followed a run to this state."""


STATES = {
    "QUEUED": Shown(M("queued"), "secondary", "cyan"),
    "RUNNING": Shown(M("running"), "info", "cyan"),
    "WAITING_FOR_TAPE": Shown(M("waiting for a tape"), "warning", "yellow", exit_code=4),
    "HELD": Shown(M("held"), "warning", "yellow", exit_code=4),
    "SUCCEEDED": Shown(M("succeeded"), "success", "green", "✓", exit_code=0),
    "FAILED": Shown(M("failed"), "danger", "red", "✗"),
    "SKIPPED": Shown(M("skipped"), "secondary", "yellow", "–", exit_code=3),
    "CANCELLED": Shown(M("cancelled"), "dark", "yellow"),
    "PENDING": Shown(M("not yet"), "light"),
    "active": Shown(M("in use"), "success"),
    "full": Shown(M("full (tape)"), "secondary"),
    "unknown": Shown(M("unknown"), "warning"),
    "retired": Shown(M("retired"), "secondary"),
    "error": Shown(M("defective"), "danger"),
    "writing": Shown(M("being written"), "info", "cyan"),
    "complete": Shown(M("complete"), "success", "green"),
    "incomplete": Shown(M("incomplete"), "warning", "yellow"),
    "destroyed": Shown(M("destroyed"), "secondary", "red"),
}


def style(name: str) -> str | None:
    """The colour of a state on a terminal; None for what is no state."""
    state = STATES.get(name)
    return state.terminal if state else None


def exit_code(name: str) -> int:
    """The exit code of a command that followed a run until it was in this state."""
    return STATES[name].exit_code
