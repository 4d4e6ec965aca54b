"""What a button does. Each asks once: a page that says what will happen, then the deed, told in the story."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from sqlalchemy.orm import Session
from tornado.web import HTTPError, authenticated

from dashboard.page import Page
from dashboard.run import retry_steps
from db import planner, runs, schedules
from db.models import now
from policy.message import M, Message
from tasks import chain
from tasks.retry import step_named

log = structlog.get_logger("tapeline.dashboard")


class Button(Page):
    """GET asks, POST does it and leads back."""

    def prepare(self) -> None:
        if self.application.options.read_only:
            raise HTTPError(HTTPStatus.FORBIDDEN, "this dashboard is read-only")

    def question(self, text: Message, deed: Message, back: str, **values: Any) -> None:
        self.page("ask.html", **{"steps": [], "danger": False, **values}, text=text, deed=deed, back=back)

    async def press(self, deed: Callable[[], str]) -> None:
        """Do it, and lead to the address that it returns."""
        self.redirect(await self.work(deed), status=HTTPStatus.SEE_OTHER)

    def reason(self) -> str | None:
        return self.get_body_argument("why", "").strip()[:500] or None


class Retry(Button):
    """Go on with a failed run."""

    active = "runs"

    @authenticated
    async def get(self, run_id: str) -> None:
        steps = await self.ask(lambda session: _retry_steps(session, _id(run_id)))
        self.question(
            M("Go on with run {id}? A format that was done is not done again.", id=_id(run_id)),
            M("Retry"),
            self.link("runs", _id(run_id)),
            steps=steps,
        )

    @authenticated
    async def post(self, run_id: str) -> None:
        step = step_named(self.get_body_argument("from", "") or None)
        who, why, back = self.user, self.reason(), self.link("runs", _id(run_id))

        def deed() -> str:
            chain.retry(_id(run_id), step, requested_by=who, why=why, brief=True)
            return back

        await self.press(deed)


class Cancel(Button):
    """End a run at its next safe point."""

    active = "runs"

    @authenticated
    async def get(self, run_id: str) -> None:
        found = await self.ask(lambda session: runs.get(session, _id(run_id)))
        self.question(
            M("Cancel run {id}? It stops at its next safe point; the tape stays consistent.", id=found.id),
            M("Cancel the run"),
            self.link("runs", found.id),
            danger=True,
        )

    @authenticated
    async def post(self, run_id: str) -> None:
        who, back = self.user, self.link("runs", _id(run_id))

        def deed() -> str:
            chain.cancel(_id(run_id), requested_by=who, brief=True)
            return back

        await self.press(deed)


class RunNow(Button):
    """Start a run of a schedule."""

    active = "schedules"

    @authenticated
    async def get(self, name: str) -> None:
        row = await self.ask(lambda session: schedules.get(session, name))
        self.question(
            M("Run schedule '{name}' now, on drive {drive}?", name=row.name, drive=row.drive),
            M("Run now"),
            self.link("schedules"),
        )

    @authenticated
    async def post(self, name: str) -> None:
        who, link = self.user, self.link
        await self.press(lambda: link("runs", chain.start(name, requested_by=who, brief=True).id))


class Switch(Button):
    """Let a schedule run, or stop it from running."""

    active = "schedules"

    @authenticated
    async def get(self, name: str, way: str) -> None:
        row = await self.ask(lambda session: schedules.get(session, name))
        text = (
            M("Enable schedule '{name}'? It runs from its next time on.", name=row.name)
            if way == "enable"
            else M("Disable schedule '{name}'? A run that is under way goes on.", name=row.name)
        )
        self.question(text, M("Enable") if way == "enable" else M("Disable"), self.link("schedules"))

    @authenticated
    async def post(self, name: str, way: str) -> None:
        await self.ask(lambda session: _switch(session, name, on=way == "enable"))
        log.info("a schedule was switched", schedule=name, to=way, by=self.user)
        self.redirect(self.link("schedules"), status=HTTPStatus.SEE_OTHER)


def _id(given: str) -> int:
    """A run's number; one with more digits than the database has is no run."""
    return int(given[:18])


def _retry_steps(session: Session, run_id: int) -> list[str]:
    run = runs.get(session, run_id)
    opened = runs.first_open_step(session, run)
    return retry_steps(run, opened.step if opened else None)


def _switch(session: Session, name: str, *, on: bool) -> None:
    row = schedules.get(session, name)
    row.enabled = on
    planner.replan(row, now())
