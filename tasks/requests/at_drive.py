"""``tapeline.at_drive``: what a button asks a drive's worker to do by hand, for somebody who waits for it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import structlog
from sqlalchemy.orm import Session

from celery_app import wiring
from celery_app.celery import app
from db.errors import NotAllowed, NotFound
from db.models import Drive
from db.tapes import drive_checks, drives
from policy.errors import TapelineError
from policy.message import M, Message
from policy.tapes.medium import MediumReport, identity_of
from tasks import chain
from tasks.drive import by_hand
from tasks.requests import check_drive

log = structlog.get_logger("tapeline.drive")

TIMEOUT = 120.0
"""Seconds that an asker waits: a drive threads a tape in less. A worker that comes to it later does
nothing."""


@dataclass(frozen=True, slots=True)
class HandRequest:
    """What a person wants done at a drive, and what they saw in it."""

    drive: str
    verb: str
    seen: MediumReport | None
    """None: nobody has looked into it yet."""
    cartridge: str | None = None
    """For ``load``: its label, serial or barcode."""
    tape_id: str | None = None
    pool: str | None = None


@app.task(name="tapeline.at_drive", acks_late=False, ignore_result=True)
def at_drive(number: int, request: dict[str, Any]) -> str:
    """Do it, if somebody waits still and what they saw is there still; answer with how it ended."""
    with wiring.database().transaction() as session:
        if drive_checks.question(session, number) is None:
            return "nobody waits for this"
    asked = HandRequest(**request)
    answer: dict[str, Any] = {"error": None, "remedy": None}
    try:
        _do(asked)
    except TapelineError as error:
        log.warning("not done at the drive", drive=asked.drive, verb=asked.verb, error=str(error))
        remedy = error.remedy.to_json() if error.remedy else None
        answer = {"error": error.message.to_json(), "remedy": remedy}
    with wiring.database().transaction() as session:
        drive_checks.answer(session, number, answer)
    return "refused" if answer["error"] else "done"


def _do(asked: HandRequest) -> None:
    database = wiring.database()
    drive = by_hand.idle(database, asked.drive)
    if asked.verb == "load":
        by_hand.load(database, drive, asked.cartridge)
        return
    there = drive.look()
    if asked.seen is not None and there.identity != identity_of(asked.seen):
        by_hand.note(database, drive, there)
        raise changed(asked.drive)
    if asked.verb == "eject":
        by_hand.eject(database, drive)
    else:
        by_hand.register(database, drive, asked.tape_id, asked.pool)


def changed(drive: str) -> NotAllowed:
    """The error for a drive in which something else is than a person was shown."""
    return NotAllowed(
        M("What is in drive {drive} has changed since you were asked.", drive=drive),
        M("Look at the page, and decide again."),
    )


def ready(session: Session, name: str) -> Drive:
    """A drive whose worker can be asked now. Raises NotFound, NotAllowed."""
    row = session.get(Drive, name)
    if row is None:
        raise NotFound(M("There is no drive '{name}'.", name=name), M("'tapeline drive list' lists them."))
    by_hand.check_idle(session, name)
    if not drives.is_alive(session, name):
        raise NotAllowed(
            M("The worker of drive {drive} is not running.", drive=name),
            M("Start the worker of a drive on its host: tapeline worker tape"),
        )
    return row


def ask(asked: HandRequest, queue: str) -> None:
    """Let the drive's worker do it, and wait for that. Raises NotAllowed with the drive's own reason."""
    database = wiring.database()
    with database.transaction() as session:
        number = drive_checks.ask(session, asked.drive, [], {})
    try:
        chain.ask("tapeline.at_drive", queue=queue, brief=True, number=number, request=asdict(asked))
        answer = check_drive.wait_for(number, time.monotonic() + TIMEOUT)
    finally:
        with database.transaction() as session:
            drive_checks.withdraw(session, number)
    if answer is None:
        raise NotAllowed(
            M(
                "The worker of drive {drive} has not answered for {seconds} s.",
                drive=asked.drive,
                seconds=round(TIMEOUT),
            ),
            M("Look at the page Drives: if nothing has changed there, press the button again."),
        )
    if answer["error"]:
        remedy = Message.from_json(answer["remedy"]) if answer["remedy"] else None
        raise NotAllowed(Message.from_json(answer["error"]), remedy)
