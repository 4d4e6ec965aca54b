"""The changer checks of ``tapeline doctor``: its program, its device, and which drive has which number."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from celery_app import settings, wiring
from celery_app.drive_settings import LtfsDriveSettings, VirtualDriveSettings
from cli.host.drive_checks import Check, CheckFailed
from db.errors import DatabaseUnavailable
from db.libraries import inventory as rows
from policy.errors import TapelineError
from policy.message import M, Message
from tape.ltfs.scsi import Scsi
from tape.mtx import identities


class Unproved(TapelineError):
    """Nothing is wrong, but nobody has proved that it is right."""


def checks() -> Iterator[Check]:
    """The checks of this host's changers."""
    for name in settings.load().changers:
        yield M("Library {name}", name=name), partial(_library, name)
        for number, drive in wiring.changer_settings(name).drives.items():
            yield (
                M("Drive {number} of {name}", number=number, name=name),
                partial(_number, name, number, drive),
            )


def _library(name: str) -> Message:
    if sys.platform == "win32":
        raise CheckFailed(
            M("Windows has no changer: no program there moves a library's robot."),
            M(
                "Take [changers.{name}] out, and change tapes by hand; or serve the drive from a Linux host.",
                name=name,
            ),
        )
    inventory = wiring.changer(name).status()
    if inventory.disturbed:
        _keep_in_mind(name)
    missing = sorted(set(wiring.changer_settings(name).drives) - {bay.number for bay in inventory.bays})
    if missing:
        raise CheckFailed(
            M("Library {name} has no drive {number}.", name=name, number=missing[0]),
            M("Drives count from 0: correct 'drives' in [changers.{name}].", name=name),
        )
    return M(
        "{slots} slots, {mail} mail slots, {drives} drives; {full} cartridges",
        slots=sum(not slot.is_mail for slot in inventory.slots),
        mail=sum(slot.is_mail for slot in inventory.slots),
        drives=len(inventory.bays),
        full=sum(slot.full for slot in inventory.slots) + sum(bay.full for bay in inventory.bays),
    )


def _keep_in_mind(name: str) -> None:
    """The changer reports an opened door once, and has reported it to this check: no run would hear of it."""
    try:
        with wiring.database().transaction() as session:
            rows.is_old(session, name, rows.DISTURBED)
    except DatabaseUnavailable as error:
        raise CheckFailed(
            M("The door of library {name} was opened, and that cannot be stored.", name=name),
            M("Once the database answers: tapeline library inventory"),
        ) from error


def _number(name: str, number: int, drive: str) -> Message:
    """The robot's number of a drive is not its order among the devices: proved by the drive's serial
    number."""
    identity = wiring.changer(name).identities().get(number)
    serial = _serial(drive)
    if identity is None or serial is None:
        raise Unproved(
            M(
                "Nothing proves that drive {number} of {name} is {drive}.",
                number=number,
                name=name,
                drive=drive,
            ),
            M(
                "Prove it once: tapeline library load SLOT --drive {drive}, then see that"
                " 'tapeline drive status {drive}' shows that tape",
                drive=drive,
            ),
        )
    if not identities.names(identity, serial):
        raise CheckFailed(
            M(
                "Drive {number} of {name} is '{told}'; {drive} has the serial number {serial}.",
                number=number,
                name=name,
                told=identity,
                drive=drive,
                serial=serial,
            ),
            M("Correct 'drives' in [changers.{name}]: another drive has this number.", name=name),
        )
    return M("{drive}, serial number {serial}", drive=drive, serial=serial)


def _serial(drive: str) -> str | None:
    drive_settings = settings.load().drive(drive)
    if isinstance(drive_settings, VirtualDriveSettings):
        return str(drive_settings.path.resolve())
    if isinstance(drive_settings, LtfsDriveSettings) and drive_settings.backend == "sg":
        programs = {str(program): path for program, path in drive_settings.programs.items()}
        return Scsi(drive_settings.device, programs, drive_settings.label_limit_seconds).serial()
    return None
