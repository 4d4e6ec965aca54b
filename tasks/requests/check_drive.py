"""``tapeline.check_drive``: what a run would find at the drive now, for somebody who waits for the answer."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from backup.source.lookout import opened
from backup.source.place import looked
from celery_app import drive_programs, health, wiring
from celery_app.celery import app
from db.models import Drive, now
from db.tapes import drive_checks, drives
from policy.errors import TapelineError
from policy.message import Message
from tape.programs.aside import Wait
from tasks import chain
from tasks.drive.host_clock import clock_doubt
from tasks.writing import trying
from tasks.writing.sources import check, within

SOURCES_TIMEOUT = 8.0
"""Seconds that all sources together have to answer."""
TIMEOUT = 30.0
"""Seconds that an asker waits: the label's own limit is 10."""


@app.task(name="tapeline.check_drive", acks_late=False, ignore_result=True)
def check_drive(number: int) -> str:
    """Inspect the clock, the sources and the tape, and answer. Changes nothing."""
    database = wiring.database()
    with database.transaction() as session:
        asked = drive_checks.question(session, number)
        wrong_clock = clock_doubt(session)
    if asked is None:
        return "nobody waits for this"
    wait = within(SOURCES_TIMEOUT)
    answer = {
        "clock": wrong_clock.to_json() if wrong_clock else None,
        "sources": [_problem([source], wait) for source in asked.sources],
        "no_source": _problem(asked.sources, wait, some_may_miss=True),
        "seen": _seen(asked.sources, wait),
        "no_format": _no_format(asked.drive),
        "commands": trying.tried(asked.commands, asked.sources),
        **_medium(asked.drive),
    }
    with database.transaction() as session:
        drive_checks.answer(session, number, answer)
    return "answered"


def _problem(sources: list[str], wait: Wait | None, *, some_may_miss: bool = False) -> dict[str, Any] | None:
    try:
        check(sources, wait, some_may_miss=some_may_miss)
    except TapelineError as error:
        return error.message.to_json()
    return None


def _seen(sources: list[str], wait: Wait | None) -> list[dict[str, Any]] | None:
    """The guard's facts about the sources; None: they do not answer, which is reported already."""
    try:
        with opened(wait) as eyes:
            return [each.to_json() for each in eyes.ask(looked, tuple(sources), about=", ".join(sources))]
    except TapelineError:
        return None


def _no_format(drive: str) -> dict[str, Any] | None:
    try:
        drive_programs.check_format(drive)
    except TapelineError as error:
        return error.in_one().to_json()
    return None


def _medium(drive: str) -> dict[str, Any]:
    try:
        return {"medium": wiring.drive(drive).look().to_json(), "error": None}
    except TapelineError as error:
        return {"medium": None, "error": error.message.to_json()}


def ask(
    drive: Drive,
    sources: list[str],
    patience: float = TIMEOUT,
    named: dict[str, Any] | None = None,
) -> dict[str, Any] | None:
    """The answer of a drive's worker; None: it gave none in time. Leaves nothing behind. ``named``: the
    commands of a template (``tasks.writing.trying.to_try``).

    Raises BrokerUnavailable if it cannot be asked at all.
    """
    database = wiring.database()
    with database.transaction() as session:
        number = drive_checks.ask(session, drive.name, sources, named or {})
    try:
        if not chain.ask("tapeline.check_drive", queue=drive.queue, brief=True, number=number):
            health.check_writable()
        return wait_for(number, time.monotonic() + patience)
    finally:
        with database.transaction() as session:
            drive_checks.withdraw(session, number)


def wait_for(number: int, deadline: float) -> dict[str, Any] | None:
    """The answer to a question; None: there was none by then."""
    while time.monotonic() < deadline:
        with wiring.database().transaction() as session:
            asked = drive_checks.question(session, number)
            if asked is not None and asked.answer is not None:
                return asked.answer
        time.sleep(0.1)
    return None


LOOK_LASTS = timedelta(minutes=1)
"""How long a requested inspection of a drive is valid."""


@app.task(name="tapeline.look_in", acks_late=False, ignore_result=True)
def look_in(drive: str, asked_at: str) -> str:
    """Store what is in a drive before somebody is reminded of it. Raises DriveError.

    Beat asks again a minute later, so a request that has waited longer, by the database's clock, is not
    executed.
    """
    with wiring.database().transaction():
        waited = now() - datetime.fromisoformat(asked_at)
    if waited > LOOK_LASTS:
        return "expired"
    try:
        medium = wiring.drive(drive).look()
    except TapelineError:
        chain.ask("tapeline.remind", unseen=drive)
        raise
    with wiring.database().transaction() as session:
        drives.looked(session, drive, medium.to_json())
    chain.ask("tapeline.remind")
    return medium.label or medium.state.value


def said(data: dict[str, Any] | None) -> Message | None:
    return Message.from_json(data) if data else None
