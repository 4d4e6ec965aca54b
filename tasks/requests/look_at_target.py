"""``tapeline.look_at_target``: what of a restore is in its folder already, before it is started."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from backup.entry import shown, text
from backup.restore import ROUNDED_NS
from backup.restoring.roots import allowed
from backup.restoring.target import EntryRefused, split
from celery_app import settings, wiring
from celery_app.celery import app
from db.models import Drive
from db.sets import catalog, lineage
from db.sets.lineage import Live
from db.tapes import drive_checks
from policy.errors import TapelineError
from tasks import chain
from tasks.requests import check_drive

TIMEOUT = 10.0
"""Seconds that an asker waits."""
LOOKS = 6.0
"""Seconds after which no further file is looked at."""
NAMED = 20
"""How many of the files that differ are named."""


@dataclass(slots=True)
class InTheTarget:
    """What is in the target."""

    looked: int = 0
    """Files of the restore that were looked for; folders do not count."""
    same: int = 0
    """With the size and the time of the backup."""
    differ: int = 0
    named: list[str] = field(default_factory=list)
    """Some of those that differ."""
    is_all: bool = True
    """Every file was looked for, and not only as many as there was time for."""


@app.task(name="tapeline.look_at_target", acks_late=False, ignore_result=True)
def look_at_target(number: int, set_id: str, target: str) -> str:
    """Look, and answer. Changes nothing."""
    with wiring.database().transaction() as session:
        asked = drive_checks.question(session, number)
        if asked is None:
            return "nobody waits for this"
        answer = _answer(session, set_id, Path(target), list(asked.sources))
        drive_checks.answer(session, number, answer)
    return "answered"


def _answer(session: Session, set_id: str, target: Path, paths: list[str]) -> dict[str, Any]:
    try:
        folder = allowed(target, settings.load().restore_roots, always=True)
    except TapelineError as error:
        return {"refused": error.in_one().to_json()}
    found, until = InTheTarget(), time.monotonic() + LOOKS
    sets = lineage.chain(session, set_id)
    for file in lineage.tree(session, sets, catalog.wanted(paths)):
        if time.monotonic() > until:
            found.is_all = False
            break
        if file.type != "folder":
            _look(found, folder, file)
    return {"refused": None, **{name: getattr(found, name) for name in InTheTarget.__slots__}}


def _look(found: InTheTarget, folder: Path, file: Live) -> None:
    found.looked += 1
    try:
        there = folder.joinpath(*map(os.fsdecode, split(text(file.path)))).lstat()
    except (OSError, EntryRefused):
        return
    same_time = abs(there.st_mtime_ns - file.mtime_ns) <= ROUNDED_NS
    if file.type in {"file", "hardlink"} and same_time and there.st_size == file.size:
        found.same += 1
        return
    found.differ += 1
    if len(found.named) < NAMED:
        found.named.append(shown(text(file.path)))


def ask(drive: Drive, set_id: str, paths: list[str], target: str) -> dict[str, Any] | None:
    """The answer of a drive's worker; None: it gave none in time. Leaves nothing behind."""
    database = wiring.database()
    with database.transaction() as session:
        number = drive_checks.ask(session, drive.name, paths, {})
    try:
        chain.ask(
            "tapeline.look_at_target",
            queue=drive.queue,
            brief=True,
            number=number,
            set_id=set_id,
            target=target,
        )
        return check_drive.wait_for(number, time.monotonic() + TIMEOUT)
    finally:
        with database.transaction() as session:
            drive_checks.withdraw(session, number)
