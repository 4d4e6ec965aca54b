"""A library cleans a drive: its cleaning cartridge is loaded, never looked at as a tape, and counted."""

from __future__ import annotations

import time
from dataclasses import dataclass

from celery_app import wiring
from db.libraries import inventory as rows
from policy import health as limits
from tape.drive import Drive, Health, MediumState
from tape.errors import DriveBusy, DriveError, LabelReadTimeout
from tasks.library import robot
from tasks.library.robot import Robot

POLL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Cleaned:
    """How a cleaning ended."""

    barcode: str
    uses: int
    is_worn: bool
    health: Health
    """What the drive reports after it, while the cartridge is still in."""


def clean(library: str, number: int, drive: Drive) -> Cleaned | None:
    """Clean a drive; its tape is put away first. None: the library has no cleaning cartridge that is good.

    The robot is kept meanwhile, and this is the drive's own worker: no run can begin there. Raises
    DriveError, NotAllowed.
    """
    with robot.held(library, asked_by="cleaning") as arm:
        inventory = arm.look()
        with wiring.database().transaction() as session:
            chosen = rows.cleaner(rows.get(session, library), limits.MAX_CLEANINGS)
        if chosen is None:
            return None
        barcode, slot = chosen
        bay = inventory.bay(number)
        if bay is not None and bay.full:
            free = inventory.free_slot(bay.home)
            if free is None:
                raise robot.no_free_slot(library)
            arm.unload(number, free, bay.barcode)
        arm.load(slot, number, barcode)
        _wait(arm, drive)
        after = _health(drive)
        arm.unload(number, slot, barcode)
    is_expired = bool(limits.WORN_OUT & set(after.tape_alerts))
    with wiring.database().transaction() as session:
        uses, worn = rows.has_cleaned(
            session, library, barcode, is_expired=is_expired, max_uses=limits.MAX_CLEANINGS
        )
    return Cleaned(barcode, uses, worn, after)


def _wait(arm: Robot, drive: Drive) -> None:
    """A drive cleans for minutes and then either ejects the cartridge or goes on to report it."""
    ends = time.monotonic() + arm.settings.clean_seconds
    while (left := ends - time.monotonic()) > 0:
        time.sleep(min(POLL_SECONDS, left))
        try:
            if drive.look().state is MediumState.NO_MEDIUM:
                return
        except (DriveBusy, LabelReadTimeout):
            continue


def _health(drive: Drive) -> Health:
    try:
        return drive.health()
    except DriveError:
        # A drive that reports nothing with a cleaning cartridge in it: its uses are counted.
        return Health()
