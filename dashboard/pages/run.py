"""One run: its steps part by part, how far it is, its story, messages and format permits."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from sqlalchemy.orm import Session
from tornado.web import authenticated

from dashboard import outcome
from dashboard.page import Page
from db import history, views
from db.models import BackupSet, ChainRun, TapeCartridge
from db.runs import admission, retrying, transitions
from db.runs.lookup import RunFilter
from db.sets import catalog
from db.states import ACTIVE, STEPS, RunState, Step
from policy.guard import Doubt
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
    "held": M("is held"),
    "reminder": M("reminder"),
    "missed": M("missed"),
    "ready": M("ready"),
    "format_warning": M("warning of the format"),
    "sets_lost": M("sets that are lost"),
    "after_failed": M("command after the run"),
    "capacity": M("the tape is getting full"),
}


A_STORY = 300
"""Lines of the story that are shown at first, the newest."""


class Run(Page):
    """``/runs/12``; messages link here."""

    active = "runs"

    @authenticated
    async def get(self, run_id: str) -> None:
        # Flower forgets tasks; a link to one that it does not know would lead nowhere.
        known = self.application.events.state.tasks
        most = None if self.get_query_argument("story", "") == "whole" else A_STORY
        facts = await self.ask(lambda session: _story(session, int(run_id[:18]), known, most))
        self.page("run.html", **facts, events_named=EVENTS, result=outcome.of_step)


def _story(session: Session, run_id: int, known: Container[str], most: int | None) -> dict[str, Any]:
    run = transitions.get(session, run_id)
    opened = admission.first_open_step(session, run)
    events = views.events_json(session, run_id, newest=most)
    [shown] = views.runs_json(session, RunFilter(ids=[run_id]))
    return {
        "run": shown,
        "parts": [_with_tasks(run, _with_told(session, run, part), known) for part in views.parts_json(run)],
        "has_set": _has_set(session, run),
        "tapes": [{"id": tape.id, "tape_id": tape.tape_id} for tape in _tapes(session, run)],
        "events": events,
        "earlier": views.events_before(session, run_id, events[0]["id"]) if most and events else 0,
        "permits": views.permits_json(session, run_id),
        "messages": views.messages_json(session, run_id),
        "cancelling": run.cancel_requested_at is not None and run.state in ACTIVE,
        "may_cancel": run.state in ACTIVE,
        "doubts": [Doubt.from_json(each).in_words for each in run.doubts]
        if run.state is RunState.HELD
        else [],
        "may_retry": [] if run.shortened_at else retry_steps(run, opened.step if opened else None),
        "shortened": history.in_words,
    }


def _tapes(session: Session, run: ChainRun) -> list[TapeCartridge]:
    return catalog.tapes(session, run.set_id or "") if _has_set(session, run) else []


def _has_set(session: Session, run: ChainRun) -> bool:
    return run.set_id is not None and session.get(BackupSet, run.set_id) is not None


def _with_told(session: Session, run: ChainRun, part: dict[str, Any]) -> dict[str, Any]:
    """The message is of the latest part, in which the run came to its state."""
    if part["part"] != run.part:
        return part
    return {**part, "steps": views.waits_at(run.state, views.with_told(session, run.id, part["steps"]))}


def _with_tasks(run: ChainRun, part: dict[str, Any], known: Container[str]) -> dict[str, Any]:
    for step in part["steps"]:
        sent = step["dispatch"]
        task = chain.message_id(run, Step(step["name"]), sent) if sent is not None else None
        step["task"] = task if task in known else None
    labels = ((step["result"] or {}) for step in part["steps"] if step["name"] == "update_label")
    return {**part, "tapes": [each["tape_id"] for each in labels if each.get("tape_id")]}


def retry_steps(run: ChainRun, opened: Step | None) -> list[str]:
    """The steps that a failed, cancelled or held run may go on from, the one at which it stopped first; none
    for any other run."""
    if run.state not in retrying.MAY_RETRY:
        return []
    steps = STEPS[run.kind]
    upto = steps.index(opened) if opened else len(steps) - 1
    return [step.value for step in reversed(steps[: upto + 1])]
