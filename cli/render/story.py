"""The story of a run as lines in the order of time, for commands that follow it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celery_app import wiring
from cli.render import ending, output
from db import views
from notify import states
from policy.message import M

ICONS: dict[str, tuple[str, str | None]] = {
    "info": ("·", None),
    "warning": ("!", "yellow"),
    "error": ("✗", "red"),
}
_TOLD: dict[Any, tuple[str, str | None]] = {
    "waits": ("·", None),
    "lost": ("!", "yellow"),
    "nobody": ("!", "yellow"),
}
"""A message that went to nobody is no success, though its step has done what it can."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: of a step, or of the run itself (``step`` is None)."""

    key: Hashable
    """What distinguishes it from every other line of the run, at any time of reading."""
    at: datetime
    step: str | None
    text: str = ""
    """Empty if a step begins: its name is enough."""
    style: str | None = None


def lines(run: dict[str, Any], events: Sequence[dict[str, Any]]) -> list[Line]:
    """The lines of a run: its events, and when the steps of its latest part began and ended."""
    story = [_event(event) for event in events]
    for step in run["steps"]:
        story.extend(_of_step(run, step, [line.at for line in story if line.step == step["name"]]))
    return sorted(story, key=lambda line: line.at)


def _event(event: dict[str, Any]) -> Line:
    icon, style = ICONS[event["level"]]
    text = f"{icon} {output.message(event['message'])}"
    return Line(("event", event["id"]), datetime.fromisoformat(event["at"]), event["step"], text, style)


def _of_step(run: dict[str, Any], step: dict[str, Any], told_at: list[datetime]) -> Iterator[Line]:
    name = step["name"]
    if step["state"] != "PENDING" and step["started_at"]:
        began = datetime.fromisoformat(step["started_at"])
        yield Line(("began", name, began), began, name)
    shown = states.STATES[step["state"]]
    if shown.mark:
        mark, style = _TOLD.get(step.get("told"), (shown.mark, shown.terminal))
        ended = datetime.fromisoformat(step["finished_at"])
        # The last line of a step is written a moment after its end was read from the clock.
        yield Line(
            ("ended", name, ended), max([ended, *told_at]), name, f"{mark} {_ending(run, step)}", style
        )


def _ending(run: dict[str, Any], step: dict[str, Any]) -> str:
    words = wiring.words()
    if step["state"] == "FAILED":
        error = (step["error"] or {}).get("message")
        # The run's own next line shows what ended it.
        return words.text(M("failed")) if error in (None, run["reason"]) else str(output.message(error))
    if (step["result"] or {}).get("reason"):
        return words.text(M("not needed"))
    if step.get("told") in ending.UNTOLD:
        return words.text(ending.UNTOLD[step["told"]])
    if not step["started_at"]:
        return words.text(M("done"))
    seconds = views.seconds_between(step["started_at"], step["finished_at"])
    return words.text(M("done in {seconds} s", seconds=f"{seconds:.1f}"))
