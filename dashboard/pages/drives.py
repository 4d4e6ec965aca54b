"""Every drive: what is in it, what it does, and which runs wait for it."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import structlog
from sqlalchemy.orm import Session
from tornado.web import authenticated

from celery_app import wiring
from dashboard import verdicts
from dashboard.access import AccessRule
from dashboard.page import Page
from dashboard.pages.buttons import AskField, Button
from db import views
from db.errors import NotFound
from db.libraries import inventory
from db.models import Drive
from db.runs.lookup import RunFilter
from db.schedules import schedules
from db.states import ACTIVE
from db.tapes import drives
from db.tapes.facts import Inside, LoadedTapes
from policy.message import M, Message
from policy.roles import Role
from policy.tapes.facts import described
from policy.tapes.medium import identity_of
from tasks.requests import at_drive
from tasks.requests.at_drive import HandRequest

log = structlog.get_logger("tapeline.dashboard")


DEEDS = {"load": M("Load"), "eject": M("Eject"), "register": M("Register")}


class Drives(Page):
    """``/drives``."""

    active = "drives"

    @authenticated
    async def get(self) -> None:
        self.page("drives.html", drives=await self.ask(_found), DEEDS=DEEDS)


class AtDrive(Button):
    """``/drives/tape0/eject``: let the drive's worker load, eject or register a cartridge."""

    rule = AccessRule(Role.OPERATOR)
    active = "drives"

    @authenticated
    async def get(self, name: str, verb: str) -> None:
        _check(verb)
        row = await self.ask(lambda session: at_drive.ready(session, name))
        self.question(
            _question(row, verb),
            DEEDS[verb],
            self.link("drives"),
            seen=_as_found(row),
            fields=FIELDS_OF[verb],
        )

    @authenticated
    async def post(self, name: str, verb: str) -> None:
        _check(verb)
        row, seen, back = await self.ask(lambda session: at_drive.ready(session, name)), self.seen(), "drives"
        if seen != _as_found(row):
            raise at_drive.changed(name)
        given = {
            field: self.get_body_argument(field, "").strip() or None for field in ("cartridge", "id", "pool")
        }
        asked = HandRequest(name, verb, row.medium, given["cartridge"], given["id"], given["pool"])

        def deed() -> str:
            at_drive.ask(asked, row.queue)
            return self.link(back)

        await self.press(deed)
        log.info("done at a drive", drive=name, deed=verb, by=self.user)


FIELDS_OF: dict[str, list[AskField]] = {
    "load": [AskField("cartridge", M("Its label, serial or barcode, to refuse any other"), is_needed=False)],
    "eject": [],
    "register": [
        AskField("id", M("Its name here, else the label that is on it"), is_needed=False),
        AskField("pool", M("The pool it belongs to from now on, if any"), is_needed=False),
    ],
}


def _check(verb: str) -> None:
    if verb not in DEEDS:
        raise NotFound(M("There is no page '{name}'.", name=verb), M("The page Drives has the buttons."))


def _question(row: Drive, verb: str) -> Message:
    tape = described((row.medium or {}).get("state") or "no_medium", (row.medium or {}).get("label"))
    texts = {
        "load": M("Load the cartridge that is in the slot of drive {drive}?", drive=row.name),
        "eject": M("Eject the cartridge from drive {drive}? In it: {tape}.", drive=row.name, tape=tape),
        "register": M(
            "Register the cartridge in drive {drive}? In it: {tape}. Nothing is written to it.",
            drive=row.name,
            tape=tape,
        ),
    }
    return texts[verb]


def _as_found(row: Drive) -> str:
    """What a question about a drive rests on."""
    return sha256(json.dumps(identity_of(row.medium)).encode()).hexdigest() if row.medium else "-"


def _found(session: Session) -> list[dict[str, Any]]:
    loaded = Inside(session, LoadedTapes(session, look=False))
    asking = verdicts.askers(session, schedules.present(session))
    runs = views.runs_json(session, RunFilter(states=ACTIVE))[::-1]
    served = {name for library in inventory.every(session) for name in library.drives.values()}
    return [
        {
            **_shown(row, loaded, served),
            "runs": [run for run in runs if run["drive"] == row.name],
            "answers": _answers(row.name, loaded, asking),
        }
        for row in drives.every(session)
    ]


def _answers(drive: str, loaded: Inside, asking: list[verdicts.ScheduleAsker]) -> list[dict[str, Any]]:
    """What each schedule of a drive would do with the tape in it."""
    if drive not in loaded.tapes:
        return []
    _, facts, _ = loaded.tapes[drive]
    return [{"schedule": each.name, **each.ask(facts)} for each in asking if each.drive == drive]


def _shown(drive: Drive, loaded: Inside, served: set[str]) -> dict[str, Any]:
    medium = drive.medium or {}
    known = loaded.rows.get(drive.name)
    return {
        "name": drive.name,
        "driver": drive.driver,
        "host": drive.host,
        "worker": drive.worker,
        "is_silent": wiring.is_silent(drive.last_seen_at),
        "last_seen_at": views.iso(drive.last_seen_at),
        "medium": medium,
        "medium_at": views.iso(drive.medium_at),
        "is_served": drive.name in served,
        "tape": {"id": known.id, "tape_id": known.tape_id, "state": known.state.value} if known else None,
    }
