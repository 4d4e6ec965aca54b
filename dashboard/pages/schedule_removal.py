"""A schedule leaves: it is switched off, removed, or taken out as TOML."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import structlog
from sqlalchemy.orm import Session
from tornado.web import authenticated

from dashboard.access import SHOWS, AccessRule
from dashboard.page import Page
from dashboard.pages import schedule_form
from dashboard.pages.buttons import Button
from db.errors import NotAllowed
from db.models import ScheduledTask, now
from db.runs import lookup
from db.schedules import planner, preview, schedules, sync
from db.schedules.sync import Action
from db.sets import expiry
from policy.message import M, Message
from policy.roles import Role
from policy.schedule import toml

log = structlog.get_logger("tapeline.dashboard")


class Switch(Button):
    """Enable or disable a schedule."""

    rule = AccessRule(Role.ADMIN)
    active = "schedules"

    @authenticated
    async def get(self, name: str, way: str) -> None:
        row, notes = await self.ask(lambda session: _switched(session, name, on=way == "enable"))
        text = (
            M("Enable schedule '{name}'? It runs from its next time on.", name=row.name)
            if way == "enable"
            else M("Disable schedule '{name}'? It starts nothing any more, not even by hand.", name=row.name)
        )
        deed = M("Enable") if way == "enable" else M("Disable")
        self.question(text, deed, self.link("schedules"), notes=notes)

    @authenticated
    async def post(self, name: str, way: str) -> None:
        await self.ask(lambda session: _switch(session, name, on=way == "enable"))
        log.info("a schedule was switched", schedule=name, to=way, by=self.user)
        self.redirect(self.link("schedules"), status=HTTPStatus.SEE_OTHER)


def _switched(session: Session, name: str, *, on: bool) -> tuple[ScheduledTask, list[Message]]:
    row = schedules.get(session, name)
    notes = []
    if not on:
        kept = expiry.of_template(session, row.template_id, now())
        notes = [_under_way(session, row), _sets_stay(len(kept))]
    if row.declared_in is not None:
        notes.append(
            M(
                "{file} declares it: the next time that this file is applied, it decides.",
                file=row.declared_in,
            )
        )
    return row, notes


def _switch(session: Session, name: str, *, on: bool) -> None:
    row = schedules.get(session, name)
    row.enabled = on
    planner.replan(row, now())


def _under_way(session: Session, row: ScheduledTask) -> Message:
    active = lookup.active_of(session, row.id)
    if active is None:
        return M("No run of it is active.")
    return M("Run {id} of it is active and continues.", id=active)


def _sets_stay(count: int) -> Message:
    if not count:
        return M("It has no set on tape.")
    return M(
        "Its sets on tape stay as they are: {count}. Each is kept for its own retention.",
        count=count,
    )


class DeleteSchedule(Button):
    """``/schedules/NAME/delete``."""

    rule = AccessRule(Role.ADMIN)
    active = "schedules"

    @authenticated
    async def get(self, name: str) -> None:
        self.page("schedule_removal.html", **await self.ask(lambda session: _removal(session, name)))

    @authenticated
    async def post(self, name: str) -> None:
        seen = self.seen()
        await self.ask(lambda session: _remove(session, name, seen))
        log.info("a schedule was removed", schedule=name, by=self.user)
        self.redirect(self.link("schedules"), status=HTTPStatus.SEE_OTHER)


def _removal(session: Session, name: str) -> dict[str, Any]:
    row = schedule_form.editable(session, name)
    change = sync.removal(session, row)
    notes = [_under_way(session, row)]
    seen = schedule_form.seen_of(row)
    found = preview.of(session, [], change, now())
    notes.append(_sets_stay(found.sets))
    if change.action is Action.DELETE:
        notes = [M("It never ran: nothing of it stays.")]
    else:
        notes.append(
            M("It is no longer listed; its runs and sets stay, and a new schedule of this name gets them.")
        )
        notes.append(M("From then on its newest full backup, too, is kept only for its retention."))
    return {"name": name, "seen": seen, "notes": notes, **schedule_form.shown(found)}


def _remove(session: Session, name: str, seen: str) -> None:
    row = schedule_form.editable(session, name)
    session.refresh(row, with_for_update=True)
    changed = schedule_form.differing(seen, schedule_form.seen_of(row))
    if changed:
        raise NotAllowed(
            M(
                "Schedule '{name}' has changed since you were asked: {change}",
                name=name,
                change=changed[0].to_json(),
            ),
            M("Look at it, and decide again."),
        )
    sync.apply(session, [], [sync.removal(session, row)], now())


class ScheduleAsToml(Page):
    """``/schedules/NAME/toml``: a file that ``tapeline schedule apply`` finds unchanged."""

    rule = SHOWS
    active = "schedules"

    @authenticated
    async def get(self, name: str) -> None:
        text = await self.ask(
            lambda session: toml.document({name: list(sync.shown(schedules.get(session, name)))})
        )
        self.set_header("Content-Type", "application/toml; charset=utf-8")
        file = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
        self.set_header("Content-Disposition", f'attachment; filename="{file}.toml"')
        self.finish(text)
