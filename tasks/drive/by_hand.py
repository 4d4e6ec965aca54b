"""What a person does at a drive: load, eject, register. The commands on its host and the pages ask here."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from celery_app import settings, wiring
from db import views
from db.engine import Database
from db.errors import NotAllowed
from db.tapes import cartridges, drives, mount_backoff
from policy.message import M
from policy.tapes import label as labels
from tape.drive import Drive, Medium, MediumState
from tape.errors import NoMedium


def check_idle(session: Session, name: str) -> None:
    """Raises NotAllowed if a run works at a drive."""
    running = drives.running(session, name)
    if running is not None:
        has_worker = drives.is_alive(session, name)
        raise NotAllowed(
            M("Run {run} works at drive {drive} now.", run=running, drive=name),
            M("Wait for it or cancel it: tapeline runs cancel {run}", run=running)
            if has_worker
            else M("Start the drive's worker, which is not running: the run goes on by itself."),
        )


def idle(database: Database, name: str | None) -> Drive:
    """A drive of this host that no run uses. Raises BadConfiguration, NotAllowed."""
    drive = wiring.drive(name or settings.load().default_drive)
    with database.transaction() as session:
        check_idle(session, drive.name)
    return drive


def note(database: Database, drive: Drive, medium: Medium) -> None:
    """Record what is in the drive now; a run that waits there tries it again."""
    with database.transaction() as session:
        drives.looked(session, drive.name, medium.to_json())
        mount_backoff.forget(session, drive.name)


def load(database: Database, drive: Drive, cartridge: str | None = None) -> Medium:
    """Load the cartridge that is in the drive's slot. ``cartridge``: its label, serial or barcode; any other
    is refused. Raises DriveError."""
    medium = drive.load(cartridge)
    note(database, drive, medium)
    return medium


def eject(database: Database, drive: Drive) -> Medium:
    """Eject the cartridge. Raises DriveError."""
    drive.eject()
    medium = drive.look()
    note(database, drive, medium)
    return medium


def register(database: Database, drive: Drive, tape_id: str | None, pool: str | None) -> dict[str, Any]:
    """Enter the cartridge that is in the drive, or put a known one into a pool; returns it as JSON.

    Raises DriveError, NotAllowed, UsageError.
    """
    medium = drive.look()
    note(database, drive, medium)
    if medium.state is MediumState.NO_MEDIUM:
        raise NoMedium(
            M("There is no cartridge in drive {drive}.", drive=drive.name), M("Put a cartridge in.")
        )
    name = tape_id or medium.label or medium.barcode or medium.medium_serial
    with database.transaction() as session:
        cartridge = cartridges.register(session, medium.to_json(), labels.check(name or ""), pool)
        return views.tape_json(session, cartridge)
