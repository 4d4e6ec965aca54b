"""How a state is shown, wherever it is: by one word, its colours, a mark, and as an exit code."""

from __future__ import annotations

from typing import NamedTuple

from policy.message import M, Message


class ShownState(NamedTuple):
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
    "QUEUED": ShownState(M("queued"), "secondary", "cyan"),
    "RUNNING": ShownState(M("running"), "info", "cyan"),
    "WAITING_FOR_TAPE": ShownState(M("waiting for a tape"), "warning", "yellow", exit_code=4),
    "HELD": ShownState(M("held"), "warning", "yellow", exit_code=4),
    "SUCCEEDED": ShownState(M("succeeded"), "success", "green", "✓", exit_code=0),
    "FAILED": ShownState(M("failed"), "danger", "red", "✗"),
    "SKIPPED": ShownState(M("skipped"), "secondary", "yellow", "–", exit_code=3),
    "CANCELLED": ShownState(M("cancelled"), "dark", "yellow"),
    "PENDING": ShownState(M("not yet"), "light"),
    "active": ShownState(M("in use"), "success"),
    "full": ShownState(M("full (tape)"), "secondary"),
    "unknown": ShownState(M("unknown"), "warning"),
    "retired": ShownState(M("retired"), "secondary"),
    "error": ShownState(M("defective"), "danger"),
    "writing": ShownState(M("being written"), "info", "cyan"),
    "complete": ShownState(M("complete"), "success", "green"),
    "incomplete": ShownState(M("incomplete"), "warning", "yellow"),
    "destroyed": ShownState(M("destroyed"), "secondary", "red"),
}


def style(name: str) -> str | None:
    """The colour of a state on a terminal; None for what is no state."""
    state = STATES.get(name)
    return state.terminal if state else None


def exit_code(name: str) -> int:
    """The exit code of a command that followed a run until it was in this state."""
    return STATES[name].exit_code
