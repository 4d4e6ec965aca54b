"""The buttons. Each asks once: a page shows what will happen, then the button acts, and the story records
it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, NamedTuple

import structlog
from sqlalchemy.orm import Session
from tornado.web import HTTPError, authenticated

from dashboard.access import AccessRule
from dashboard.page import Page
from dashboard.pages.run import retry_steps
from db import doubts, failures
from db.admin import holds
from db.errors import NotAllowed
from db.models import ChainRun, now
from db.runs import admission, retrying, transitions
from db.schedules import schedules
from db.states import RunState
from policy.message import M, Message
from policy.roles import Role
from tasks import chain
from tasks.requests.retry import step_named

FRESH = timedelta(minutes=10)
"""For how long the question whether to start a run may be answered."""

log = structlog.get_logger("tapeline.dashboard")


class AskField(NamedTuple):
    """A field of a question."""

    name: str
    label: Message
    value: str = ""
    choices: Sequence[str] = ()
    """What it may have, if not everything."""
    kind: str = "text"
    is_needed: bool = True


class Button(Page):
    """GET asks, POST acts and redirects back."""

    async def prepare(self) -> None:
        """Raises HTTPError on a dashboard that is read-only."""
        if self.application.options.read_only:
            raise HTTPError(HTTPStatus.FORBIDDEN, "this dashboard is read-only")
        await super().prepare()

    def question(self, text: Message, deed: Message, back: str, **values: Any) -> None:
        """Ask. ``seen``: the state that the answer is about; if that has changed, the answer does nothing."""
        known = {"steps": [], "notes": [], "danger": False, "seen": "", "asks_why": False, "fields": ()}
        self.page("ask.html", **{**known, **values}, text=text, deed=deed, back=back)

    async def press(self, deed: Callable[[], str]) -> None:
        """Act, and redirect to the address that it returns."""
        self.redirect(await self.work(deed), status=HTTPStatus.SEE_OTHER)

    def seen(self) -> str:
        return str(self.get_body_argument("seen", ""))

    def reason(self) -> str | None:
        return self.get_body_argument("why", "").strip()[:500] or None


def needed_reason(why: str | None) -> str:
    """The reason that somebody gave for a deed. Raises NotAllowed if there is none."""
    if why is None:
        raise NotAllowed(M("The reason is missing."), M("Write the reason: it is kept with your name."))
    return why


class Retry(Button):
    """Continue a failed run."""

    rule = AccessRule(Role.OPERATOR)
    active = "runs"

    @authenticated
    async def get(self, run_id: str) -> None:
        steps, seen = await self.ask(lambda session: _retry_steps(session, _id(run_id)))
        self.question(
            M("Go on with run {id}? A format that was done is not done again.", id=_id(run_id)),
            M("Retry"),
            self.link("runs", _id(run_id)),
            steps=steps,
            seen=seen,
        )

    @authenticated
    async def post(self, run_id: str) -> None:
        step = step_named(self.get_body_argument("from", "") or None)
        who, why, back = self.user, self.reason(), self.link("runs", _id(run_id))
        await self.ask(lambda session: _check_unchanged(session, _id(run_id), self.seen()))

        def deed() -> str:
            chain.retry(_id(run_id), step, requested_by=who, why=why, brief=True)
            return back

        await self.press(deed)


class Dismiss(Button):
    """Dismiss a failed run."""

    rule = AccessRule(Role.OPERATOR)
    active = "runs"

    @authenticated
    async def get(self, run_id: str) -> None:
        _, seen = await self.ask(lambda session: _retry_steps(session, _id(run_id)))
        self.question(
            M(
                "Dismiss the failure of run {id}? It stays FAILED; nobody is asked to look after it.",
                id=_id(run_id),
            ),
            M("Dismiss"),
            self.link("runs", _id(run_id)),
            seen=seen,
            asks_why=True,
        )

    @authenticated
    async def post(self, run_id: str) -> None:
        who, why, seen = self.user, self.reason(), self.seen()
        await self.ask(lambda session: _dismiss(session, _id(run_id), seen, who, why))
        self.redirect(self.link("runs", _id(run_id)), status=HTTPStatus.SEE_OTHER)


class Accept(Button):
    """Let a run continue whose sources are not as they were."""

    rule = AccessRule(Role.OPERATOR)
    active = "runs"

    @authenticated
    async def get(self, run_id: str) -> None:
        text, seen = await self.ask(lambda session: _doubted(session, _id(run_id)))
        self.question(
            text,
            M("Accept the sources"),
            self.link("runs", _id(run_id)),
            seen=seen,
            asks_why=True,
            danger=True,
        )

    @authenticated
    async def post(self, run_id: str) -> None:
        who, why, back = self.user, self.reason(), self.link("runs", _id(run_id))
        seen = self.seen()
        await self.ask(lambda session: _check_held(session, _id(run_id), seen, why))

        def deed() -> str:
            chain.accept(_id(run_id), requested_by=who, why=why or "", brief=True)
            return back

        await self.press(deed)


class Cancel(Button):
    """Cancel a run at its next safe point."""

    rule = AccessRule(Role.OPERATOR)
    active = "runs"

    @authenticated
    async def get(self, run_id: str) -> None:
        run = await self.ask(lambda session: transitions.get_active(session, _id(run_id)))
        self.question(
            M("Cancel run {id}? It stops at its next safe point; the tape stays consistent.", id=run.id),
            M("Cancel the run"),
            self.link("runs", run.id),
            danger=True,
        )

    @authenticated
    async def post(self, run_id: str) -> None:
        who, back = self.user, self.link("runs", _id(run_id))

        def deed() -> str:
            chain.cancel(_id(run_id), requested_by=who, brief=True)
            return back

        await self.press(deed)


class ReleaseRun(Button):
    """Let a run continue that is held since the database was restored."""

    rule = AccessRule(Role.ADMIN)
    active = "runs"

    @authenticated
    async def get(self, run_id: str) -> None:
        run = await self.ask(lambda session: holds.get_held_run(session, _id(run_id)))
        self.question(
            M(
                "Release run {id}? It goes on where it was, with the tape in drive {drive}. Import every tape"
                " first that was written since the copy of the database was made.",
                id=run.id,
                drive=run.drive,
            ),
            M("Release"),
            self.link("runs", run.id),
        )

    @authenticated
    async def post(self, run_id: str) -> None:
        who, back = self.user, self.link("runs", _id(run_id))
        run = await self.ask(lambda session: holds.release_run(session, _id(run_id), who))

        def deed() -> str:
            chain.release(run.drive, brief=True)
            return back

        await self.press(deed)


class ReleaseSchedule(Button):
    """Let a schedule fire again that is held since the database was restored."""

    rule = AccessRule(Role.ADMIN)
    active = "schedules"

    @authenticated
    async def get(self, name: str) -> None:
        row = await self.ask(lambda session: holds.get_held_schedule(session, name))
        self.question(
            M(
                "Release schedule '{name}'? It runs from its next time on. Import every tape first that was"
                " written since the copy of the database was made.",
                name=row.name,
            ),
            M("Release"),
            self.link("schedules"),
        )

    @authenticated
    async def post(self, name: str) -> None:
        await self.ask(lambda session: holds.release_schedule(session, name, now()))
        log.info("a schedule was released", schedule=name, by=self.user)
        self.redirect(self.link("schedules"), status=HTTPStatus.SEE_OTHER)


class RunNow(Button):
    """Start a run of a schedule."""

    rule = AccessRule(Role.OPERATOR)
    active = "schedules"

    @authenticated
    async def get(self, name: str) -> None:
        row = await self.ask(lambda session: schedules.get(session, name))
        self.question(
            M("Run schedule '{name}' now, on drive {drive}?", name=row.name, drive=row.drive),
            M("Run now"),
            self.link("schedules"),
            seen=now().isoformat(),
        )

    @authenticated
    async def post(self, name: str) -> None:
        who, link, asked_at = self.user, self.link, _moment(self.seen())
        await self.press(
            lambda: link("runs", chain.start(name, requested_by=who, due_at=asked_at, brief=True).id)
        )


def _id(given: str) -> int:
    """A run's number; one with more digits than the database has is no run."""
    return int(given[:18])


def _retry_steps(session: Session, run_id: int) -> tuple[list[str], str]:
    """The steps from which a run may continue, and its state when it was read. Raises NotAllowed for one that
    has not failed."""
    run = transitions.get(session, run_id)
    if run.state not in retrying.MAY_RETRY:
        raise retrying.only_failed(run)
    opened = admission.first_open_step(session, run)
    return retry_steps(run, opened.step if opened else None), _as_found(run)


def _doubted(session: Session, run_id: int) -> tuple[Message, str]:
    run = transitions.get(session, run_id)
    why = doubts.reason(run).to_json() if run.doubts else ""
    text = M(
        "{doubt} Are the sources of run {id} right as they are? It then writes them.", doubt=why, id=run.id
    )
    return text, _as_found(run)


def _check_held(session: Session, run_id: int, seen: str, why: str | None) -> None:
    needed_reason(why)
    if transitions.get(session, run_id).state is RunState.HELD:
        _check_unchanged(session, run_id, seen)


def _as_found(run: ChainRun) -> str:
    return f"{run.dispatch}-{run.part}"


def _check_unchanged(session: Session, run_id: int, seen: str) -> None:
    run = transitions.get(session, run_id)
    if run.state in retrying.MAY_RETRY and seen != _as_found(run):
        raise NotAllowed(
            M("Run {id} has gone on and failed anew since you were asked.", id=run_id),
            M("Look at its page, and decide again."),
        )


def _dismiss(session: Session, run_id: int, seen: str, who: str, why: str | None) -> None:
    reason = needed_reason(why)
    _check_unchanged(session, run_id, seen)
    failures.dismiss(session, run_id, requested_by=who, why=reason)


def _moment(seen: str) -> datetime:
    """When the question was asked: that becomes the run's due time, so that a double click starts one run.
    Raises NotAllowed."""
    try:
        asked_at = datetime.fromisoformat(seen)
    except ValueError:
        asked_at = None
    if asked_at is None or asked_at.tzinfo is None or not timedelta() <= now() - asked_at <= FRESH:
        raise NotAllowed(M("This question is too old."), M("Press the button again."))
    return asked_at
