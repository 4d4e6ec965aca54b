"""One run: its steps part by part, how far it is, its story, messages and format permits."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from sqlalchemy.orm import Session
from tornado.web import authenticated

from dashboard.page import Page
from db import runs, views
from db.models import ChainRun
from db.states import ACTIVE, STEPS, RunState, Step
from policy.message import M, Message
from tasks import chain

EVENTS: dict[str, Message] = {
    "started": M("started"),
    "success": M("success"),
    "warnings": M("success with warnings"),
    "failed": M("failure"),
    "tape_error": M("error of the tape"),
    "skipped": M("skipped"),
    "cancelled": M("cancelled"),
    "waiting_for_tape": M("waits for a tape"),
    "reminder": M("reminder"),
    "missed": M("missed"),
    "format_warning": M("warning of the format"),
    "capacity": M("the tape is getting full"),
}


class Run(Page):
    """``/runs/12``; messages link here."""

    active = "runs"

    @authenticated
    async def get(self, run_id: str) -> None:
        # Flower forgets tasks; a link to one that it does not know would lead nowhere.
        known = self.application.events.state.tasks
        found = await self.ask(lambda session: _story(session, int(run_id[:18]), known))
        self.page("run.html", **found, events_named=EVENTS)


def _story(session: Session, run_id: int, known: Container[str]) -> dict[str, Any]:
    run = runs.get(session, run_id)
    opened = runs.first_open_step(session, run)
    return {
        "run": views.run_json(run),
        "parts": [_with_tasks(run, part, known) for part in views.parts_json(run)],
        "events": views.events_json(session, run_id),
        "permits": views.permits_json(session, run_id),
        "messages": views.messages_json(session, run_id),
        "cancelling": run.cancel_requested_at is not None and run.state in ACTIVE,
        "may_cancel": run.state in ACTIVE,
        "may_retry": retry_steps(run, opened.step if opened else None),
    }


def _with_tasks(run: ChainRun, part: dict[str, Any], known: Container[str]) -> dict[str, Any]:
    for step in part["steps"]:
        sent = step["dispatch"]
        task = chain.message_id(run, Step(step["name"]), sent) if sent is not None else None
        step["task"] = task if task in known else None
    return part


def retry_steps(run: ChainRun, opened: Step | None) -> list[str]:
    """The steps that a failed run may go on from, the failed one first; none for any other run."""
    if run.state is not RunState.FAILED:
        return []
    steps = STEPS[run.kind]
    upto = steps.index(opened) if opened else len(steps) - 1
    return [step.value for step in reversed(steps[: upto + 1])]
