"""Watch a run: each step as it happens, and a progress bar with rate and time left."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import Any

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from celery_app import wiring
from cli.render import output, story
from cli.render.story import Line
from db import views
from db.models import now
from db.runs import transitions
from db.states import ENDED, RunState
from db.tapes import drives
from policy import units
from policy.message import M

LOOK_SECONDS = 0.3
QUIET_SECONDS = 10.0
"""After how long without an event a line reports that."""


def follow(run_id: int, *, to_its_end: bool = False, stays: bool = True) -> dict[str, Any]:
    """Show a run until it ends or, unless ``to_its_end``, waits for an operator; returns it in its JSON form.

    Ctrl-C ends the command, not the run, and a line reports that, if its workers stay (``stays``). Raises
    NotFound.
    """
    try:
        return _follow(run_id, to_its_end)
    except KeyboardInterrupt:
        if stays:
            output.say(M("Run {run} goes on. To end it: tapeline runs cancel {run}", run=run_id))
        raise


def _follow(run_id: int, to_its_end: bool) -> dict[str, Any]:
    ends = ENDED if to_its_end else ENDED | {RunState.WAITING_FOR_TAPE, RunState.HELD}
    with _bar() as bar:
        watcher = Watcher(run_id, bar)
        while True:
            run = watcher.look()
            if run["state"] in ends:
                watcher.look()
                return run
            watcher.complain_of_silence(run)
            time.sleep(LOOK_SECONDS)


def _bar() -> Progress:
    return Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=30),
        SizeColumn(),
        TimeRemainingColumn(),
        console=output.console,
        transient=True,
    )


class SizeColumn(ProgressColumn):
    """How much of how much is done, and how fast, in the units of every other size."""

    def render(self, task: Task) -> Text:
        done = units.size(task.completed)
        if task.total is not None:
            done += f" / {units.size(task.total)}"
        speed = task.finished_speed or task.speed
        return Text(f"{done}  {units.rate(speed)}" if speed else done)


class Watcher:
    """Remembers what has been shown of a run."""

    def __init__(self, run_id: int, bar: Progress) -> None:
        self._run_id = run_id
        self._bar = bar
        self._shown_event = 0
        self._shown: set[Hashable] = set()
        self._heading: str | None = None
        self._task: Any = None
        self._minutes = 0
        self._quiet_since = time.monotonic()
        self._complained = False

    def look(self) -> dict[str, Any]:
        """Show what is new; returns the run."""
        with wiring.database().transaction() as session:
            # A step's lines and its end are read together, or the end would come first.
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            run = views.whole_run_json(session, transitions.get(session, self._run_id))
            events = views.events_json(session, self._run_id, self._shown_event)
        for line in story.lines(run, events):
            if line.key not in self._shown:
                self._shown.add(line.key)
                self._show(line)
        if events:
            self._shown_event = events[-1]["id"]
        self._show_progress(run)
        return run

    def complain_of_silence(self, run: dict[str, Any]) -> None:
        """Report once that no worker is there, instead of waiting silently."""
        waits = run["opens_at"] or run["awaits"] or run["state"] in {RunState.WAITING_FOR_TAPE, RunState.HELD}
        if waits or any(step["state"] == "RUNNING" for step in run["steps"]):
            self._quiet_since = time.monotonic()
        if self._complained or time.monotonic() - self._quiet_since < QUIET_SECONDS:
            return
        self._complained = True
        with wiring.database().transaction() as session:
            alive = drives.is_alive(session, run["drive"])
        message = (
            M("Nothing happens: does a control worker run? 'tapeline doctor' checks.")
            if alive
            else M("No worker of drive {drive} answers. Start it: tapeline up", drive=run["drive"])
        )
        self._print(f"  ! {wiring.words().text(message)}", style="yellow")

    def _show(self, line: Line) -> None:
        """A line of a step is printed below the step's name; one of the run has its own margin."""
        if line.step and line.step != self._heading:
            self._print(line.step, style="bold cyan")
        self._heading = line.step
        if line.text:
            self._print(f"  {line.text}" if line.step else line.text, style=line.style)

    def _print(self, line: str, style: str | None = None) -> None:
        self._bar.console.print(line, markup=False, soft_wrap=True, style=style)

    def _show_progress(self, run: dict[str, Any]) -> None:
        progress = run["progress"] or {}
        working = next((s["name"] for s in run["steps"] if s["state"] == "RUNNING"), None)
        if working == "format_tape":
            self._show_minutes(next(s for s in run["steps"] if s["name"] == working))
        if "bytes_total" not in progress or working not in {
            "run_backup",
            "restore",
            "verify",
            "read_set",
            "write_copy",
        }:
            return
        if self._task is None:
            self._task = self._bar.add_task(working, total=progress["bytes_total"])
        self._bar.update(self._task, completed=progress["bytes"], total=progress["bytes_total"])

    def _show_minutes(self, step: dict[str, Any]) -> None:
        """A format reports no progress; a line once a minute shows that it is still running."""
        minutes = int(views.seconds_between(step["started_at"], views.iso(now()) or "") // 60)
        if minutes > self._minutes:
            self._minutes = minutes
            message = M("formatting for {minutes} min; a new LTO-9 tape may take two hours", minutes=minutes)
            self._print(f"  · {wiring.words().text(message)}")
