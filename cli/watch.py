"""Watch a run: each step as it happens, and a progress bar with rate and time left."""

from __future__ import annotations

import time
from typing import Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from celery_app import wiring
from cli import output
from db import runs, views
from db.states import RunState
from policy.message import M, Message

LOOK_SECONDS = 0.3
ENDED = {"SUCCEEDED", "FAILED", "SKIPPED", "CANCELLED"}
ICONS = {"info": " ", "warning": "!", "error": "✗"}


def follow(run_id: int, *, story: bool = True) -> dict[str, Any]:
    """Show a run until it ends or waits for an operator; returns it as JSON names it. Raises NotFound."""
    with _bar() as bar:
        watcher = Watcher(run_id, bar, story=story)
        while True:
            run = watcher.look()
            if run["state"] in ENDED or run["state"] == RunState.WAITING_FOR_TAPE:
                watcher.look()
                return run
            time.sleep(LOOK_SECONDS)


def _bar() -> Progress:
    return Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=30),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=output.console,
        transient=True,
    )


class Watcher:
    """Remembers what has been shown of a run."""

    def __init__(self, run_id: int, bar: Progress, *, story: bool) -> None:
        self._run_id = run_id
        self._bar = bar
        self._story = story
        self._shown_event = 0
        self._shown_steps: dict[str, str] = {}
        self._task: Any = None

    def look(self) -> dict[str, Any]:
        """Show what is new; returns the run."""
        with wiring.database().transaction() as session:
            run = views.run_json(runs.get(session, self._run_id))
            events = views.events_json(session, self._run_id, self._shown_event)
        for event in events:
            self._shown_event = event["id"]
            self._show_event(event)
        for step in run["steps"]:
            self._show_step(step)
        self._show_progress(run)
        return run

    def _show_event(self, event: dict[str, Any]) -> None:
        if self._story or event["level"] != "info":
            self._print(f"  {ICONS[event['level']]} {output.message(event['message'])}")

    def _show_step(self, step: dict[str, Any]) -> None:
        name, state = step["name"], step["state"]
        if state in {"PENDING", self._shown_steps.get(name)}:
            return
        self._shown_steps[name] = state
        if state != "RUNNING":
            self._print(f"{_mark(state)} {name:<14} {_took(step)}")

    def _print(self, line: str) -> None:
        self._bar.console.print(line, markup=False, soft_wrap=True)

    def _show_progress(self, run: dict[str, Any]) -> None:
        progress = run["progress"] or {}
        working = next((s["name"] for s in run["steps"] if s["state"] == "RUNNING"), None)
        if "bytes_total" not in progress or working not in {"run_backup", "restore"}:
            return
        if self._task is None:
            self._task = self._bar.add_task(working, total=progress["bytes_total"])
        self._bar.update(self._task, completed=progress["bytes"], total=progress["bytes_total"])


def _mark(state: str) -> str:
    return {"SUCCEEDED": "✓", "SKIPPED": "–", "FAILED": "✗"}.get(state, "·")


def _took(step: dict[str, Any]) -> str:
    words = wiring.words()
    if step["error"]:
        return str(output.message(step["error"]["message"]))
    reason = (step["result"] or {}).get("reason")
    if reason:
        return words.text(M("not needed: {reason}", reason=reason))
    if not step["finished_at"] or not step["started_at"]:
        return words.text(Message(step["state"]))
    return f"{views.seconds_between(step['started_at'], step['finished_at']):.1f} s"
