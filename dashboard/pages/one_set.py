"""One backup set: what it holds, on which tapes and until when; and the buttons that verify and expire it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from sqlalchemy.orm import Session
from tornado.web import authenticated

from celery_app import settings, wiring
from dashboard.access import AccessRule
from dashboard.page import Page, number
from dashboard.pages.buttons import AskField, Button, needed_reason
from db import views
from db.errors import NotAllowed
from db.libraries import whereabouts
from db.models import BackupSet, now
from db.runs import lookup, starting
from db.runs.lookup import RunFilter
from db.sets import catalog, copying, expiry, restores, templates
from db.sets.as_json import set_json, sets_json
from db.tapes import drives, listing
from policy import units
from policy.errors import UsageError
from policy.message import M, Message
from policy.roles import Role
from tasks import chain

RUNS = 10
"""How many runs of a set its page lists, the newest."""

log = structlog.get_logger("tapeline.dashboard")


class SetPage(Page):
    """``/sets/20261101T000000Z-0002``."""

    active = "tapes"

    @authenticated
    async def get(self, set_id: str) -> None:
        self.page("one_set.html", **await self.ask(lambda session: _found(session, set_id)))


def _found(session: Session, set_id: str) -> dict[str, Any]:
    stored = set_json(session, catalog.get(session, set_id))
    copies = [each["tape"] for each in stored["copies"]]
    places = whereabouts.of_tapes(session, [*stored["tapes"], *copies])
    listed = [(M("Tapes"), stored["tapes"]), *([(M("Copies"), copies)] if copies else [])]
    return {
        "stored": stored,
        "places": [
            (name, {"places": [(tape, places[tape]) for tape in tapes if tape in places]})
            for name, tapes in listed
        ],
        "runs": views.runs_json(session, RunFilter(ids=lookup.of_set(session, set_id, RUNS))),
    }


class VerifySet(Button):
    """Read a set back from its tapes and compare it."""

    rule = AccessRule(Role.OPERATOR)
    active = "tapes"

    @authenticated
    async def get(self, set_id: str) -> None:
        text, seen, fields = await self.ask(lambda session: _asks_to_verify(session, set_id))
        self.question(text, M("Verify"), self.link("sets", set_id), seen=seen, fields=fields)

    @authenticated
    async def post(self, set_id: str) -> None:
        who, link, seen = self.user, self.link, self.seen()
        drive = self.get_body_argument("drive", "")
        percent = number("sample", self.get_body_argument("sample", "100"))
        if percent > 100:
            raise UsageError(M("{field}: '{value}' is not from 1 to 100.", field="sample", value=percent))

        def deed() -> str:
            with wiring.database().transaction() as session:
                _check_unchanged(session, set_id, seen)
                _check_listed(M("There is no drive '{name}'.", name=drive), drive, drives.names(session))
                run = starting.start_verify(
                    session, set_id=set_id, drive=drive, percent=percent, requested_by=who
                )
                run_id = run.id
            chain.release(drive, brief=True)
            return link("runs", run_id)

        await self.press(deed)


class CopySet(Button):
    """Copy a set to another tape."""

    rule = AccessRule(Role.OPERATOR)
    active = "tapes"

    @authenticated
    async def get(self, set_id: str) -> None:
        text, seen, fields = await self.ask(lambda session: _asks_to_copy(session, set_id))
        self.question(text, M("Copy"), self.link("sets", set_id), seen=seen, fields=fields)

    @authenticated
    async def post(self, set_id: str) -> None:
        who, link, seen = self.user, self.link, self.seen()
        drive, pool = self.get_body_argument("drive", ""), self.get_body_argument("pool", "")

        def deed() -> str:
            with wiring.database().transaction() as session:
                _check_unchanged(session, set_id, seen)
                _check_listed(M("There is no drive '{name}'.", name=drive), drive, drives.names(session))
                _check_listed(M("There is no pool '{name}'.", name=pool), pool, ["", *listing.pools(session)])
                run = starting.start_copy(
                    session, set_id=set_id, drive=drive, pool=pool or None, requested_by=who
                )
                run_id = run.id
            chain.release(drive, brief=True)
            return link("runs", run_id)

        await self.press(deed)


class ExpireSet(Button):
    """Mark a set as expired, even before its retention ends."""

    rule = AccessRule(Role.ADMIN)
    active = "tapes"

    @authenticated
    async def get(self, set_id: str) -> None:
        text, seen = await self.ask(lambda session: _asks_to_expire(session, set_id))
        why = AskField("why", M("Why (for the audit)"))
        self.question(text, M("Expire"), self.link("sets", set_id), seen=seen, fields=[why], danger=True)

    @authenticated
    async def post(self, set_id: str) -> None:
        who, why, seen = self.user, self.reason(), self.seen()

        def deed(session: Session) -> None:
            needed_reason(why)
            _check_unchanged(session, set_id, seen)
            expiry.mark(_unmarked(session, set_id), now())

        await self.ask(deed)
        log.info("a set was expired", set=set_id, by=who, why=why)
        self.redirect(self.link("sets", set_id), status=HTTPStatus.SEE_OTHER)


def _asks_to_verify(session: Session, set_id: str) -> tuple[Message, str, list[AskField]]:
    stored = catalog.get(session, set_id)
    restores.check_on_tape([stored])
    known = _known_drives(session)
    text = M(
        "Read set {set} back from its tapes and compare it with what was written? It waits for the drive, and"
        " for a tape that is not in it.",
        set=set_id,
    )
    fields = [
        AskField("drive", M("Drive"), _nearest_drive(session, stored, known), known),
        AskField("sample", M("Percent of the files, at random (1 to 100)"), "100", kind="number"),
    ]
    return text, _as_found(session, stored), fields


def _asks_to_copy(session: Session, set_id: str) -> tuple[Message, str, list[AskField]]:
    plan = copying.plan(session, set_id)
    known = _known_drives(session)
    text = M(
        "Copy set {set}, {size} on tape, to another tape? It is read from {tapes} to the disk of the drive's"
        " host first, and takes as much there; then the run waits for the other tape.",
        set=set_id,
        size=units.size(plan.bytes),
        tapes=", ".join(tape.tape_id for tape in plan.tapes),
    )
    fields = [AskField("drive", M("Drive"), _nearest_drive(session, plan.stored, known), known)]
    pools = listing.pools(session)
    if pools:
        label = M("Pool of the other tape; empty: a blank one, or one of this month")
        fields.append(AskField("pool", label, "", ["", *pools], is_needed=False))
    return text, _as_found(session, plan.stored), fields


def _known_drives(session: Session) -> list[str]:
    """Raises NotAllowed if there is none."""
    known = drives.names(session)
    if not known:
        raise NotAllowed(
            M("No drive has registered yet: its worker does so when it starts."),
            M("Start the worker of a drive on its host: tapeline worker tape"),
        )
    return known


def _check_listed(unknown: Message, name: str, listed: list[str]) -> None:
    """Raises UsageError."""
    if name not in listed:
        raise UsageError(unknown, M("Choose one of the list."))


def _nearest_drive(session: Session, stored: BackupSet, known: list[str]) -> str:
    """The drive that has a tape of the set; else that of its schedule, else the default one."""
    [facts] = sets_json(session, [stored])
    inside = [place.drive for place in whereabouts.of_tapes(session, facts["tapes"]).values() if place.drive]
    of_template = {row_id: drive for row_id, _, drive in templates.with_sets(session)}
    wanted = [*inside, of_template.get(stored.template_id or 0), settings.load().default_drive]
    return next((drive for drive in wanted if drive in known), known[0])


def _asks_to_expire(session: Session, set_id: str) -> tuple[Message, str]:
    [stored] = _unmarked(session, set_id)
    text = M(
        "Expire set {set}, of which {files} files are on tape? From now on a run may format its tape, as soon"
        " as no other set on it is kept; no increment follows it. This cannot be taken back.",
        set=set_id,
        files=stored.files,
    )
    return text, _as_found(session, stored)


def _unmarked(session: Session, set_id: str) -> list[BackupSet]:
    """The set. Raises NotAllowed for one that is destroyed, or that somebody has expired already."""
    restores.check_on_tape([catalog.get(session, set_id)])
    found = expiry.named(session, [set_id])
    if not found:
        raise NotAllowed(M("Set {set} is expired already.", set=set_id))
    return found


def _as_found(session: Session, stored: BackupSet) -> str:
    """What a question about a set rests on."""
    newest = next(iter(lookup.of_set(session, stored.id, 1)), 0)
    return f"{stored.state.value} {views.iso(stored.expired_at)} {views.iso(stored.retention_until)} {newest}"


def _check_unchanged(session: Session, set_id: str, seen: str) -> None:
    """Raises NotAllowed. Locks the set: of two answers to one question, the second finds it changed."""
    stored = catalog.get(session, set_id)
    session.refresh(stored, with_for_update=True)
    if seen != _as_found(session, stored):
        raise NotAllowed(
            M("Set {set} is not as it was when you were asked.", set=set_id),
            M("Look at its page, and decide again."),
        )
