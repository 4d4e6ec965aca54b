"""``tapeline drive load|eject|check``: moving and checking the cartridge, on the drive's host."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.host import stack
from cli.render import output
from cli.render.output import AsJson
from db.engine import Database
from db.tapes import mounts
from policy.errors import UsageError
from policy.message import M, Message
from policy.schedule import values
from policy.tapes.facts import described
from tape.drive import Drive, Medium, ProgramRun
from tape.errors import NotMountable
from tape.virtual.drive import VirtualDrive, new_cartridge
from tasks.drive import by_hand

DriveArgument = Annotated[
    str | None, typer.Argument(help="The drive; the default drive if none is named.", metavar="DRIVE")
]


def load(
    name: DriveArgument = None,
    cartridge: Annotated[
        str | None, typer.Option("--cartridge", help="Its label, serial or barcode: refuse any other.")
    ] = None,
    new: Annotated[
        str | None,
        typer.Option(
            "--new", metavar="BARCODE", help="Only for a virtual drive: make a blank cartridge first."
        ),
    ] = None,
    capacity: Annotated[str, typer.Option(help="How much fits on the new one: 12GB, 2TB, ...")] = "12GB",
    as_json: AsJson = False,
) -> None:
    """Load the cartridge that is in the drive's slot, and show which one it is."""
    with stack.database() as database:
        drive = by_hand.idle(database, name)
        if new is not None:
            _make(drive, new, capacity)
        medium = by_hand.load(database, drive, new or cartridge)
    _show(
        drive,
        medium,
        M("In the drive: {tape}", tape=described(medium.state.value, medium.label)),
        as_json=as_json,
    )


def _make(drive: Drive, barcode: str, capacity: str) -> None:
    if not isinstance(drive, VirtualDrive):
        raise UsageError(
            M("Drive {drive} is a real one.", drive=drive.name),
            M("Put a cartridge in; --new is for virtual drives."),
        )
    try:
        fits = values.SIZE.read(capacity)
    except values.WrongValue as error:
        raise UsageError(M("--capacity: {capacity} is no size.", capacity=capacity), error.remedy) from error
    new_cartridge(drive.path, barcode, capacity=fits)


def eject(name: DriveArgument = None, as_json: AsJson = False) -> None:
    """Eject the cartridge from the drive. Refused while a run uses the drive."""
    with stack.database() as database:
        drive = by_hand.idle(database, name)
        medium = by_hand.eject(database, drive)
    _show(drive, medium, M("Drive {drive} is empty.", drive=drive.name), as_json=as_json)


def check(
    name: DriveArgument = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Look for the end of the data if it is not marked on the tape."),
    ] = False,
    confirm: Annotated[
        str | None,
        typer.Option(
            "--confirm",
            metavar="LABEL",
            help="With --deep: the value that the command shows without this option.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the volume in the drive, and repair it if it was not unmounted. It may take hours.

    Sealed data stays. Refused while a run uses the drive. Use --deep if LTFS advises it because the end of
    the data is not marked on the tape (LTFS17146E, LTFS17148E): it may read the whole tape, writes a new end
    behind the last index that it finds, and starts only with --confirm.
    """
    with stack.database() as database:
        drive = by_hand.idle(database, name)
        if deep:
            _ask_twice(drive, drive.look(), confirm)
        run = _checked(database, drive, deep=deep, as_json=as_json)
        medium = drive.look()
        by_hand.note(database, drive, medium)
        with database.transaction() as session:
            mounts.worked(session, medium.to_json())
    _show(
        drive,
        medium,
        M(
            "The volume {label} is sound; the check took {seconds} s.",
            label=medium.label or "-",
            seconds=round(run.seconds, 1),
        ),
        as_json=as_json,
    )


def _ask_twice(drive: Drive, medium: Medium, confirm: str | None) -> None:
    """Raises Exit if nothing was confirmed yet, UsageError if something else was."""
    asked = medium.label or medium.medium_serial or medium.barcode or drive.name
    if confirm == asked:
        return
    tape = described(medium.state.value, medium.label)
    again = M(
        "To begin: tapeline drive check {drive} --deep --confirm {label}", drive=drive.name, label=asked
    )
    if confirm is not None:
        raise UsageError(M("--confirm {label}: in the drive is {tape}.", label=confirm, tape=tape), again)
    output.say(
        M(
            "A deep recovery of {tape} in drive {drive} takes hours and must not be cut off."
            " What was sealed is kept; what was written after the last index is given up.",
            tape=tape,
            drive=drive.name,
        )
    )
    output.say(again)
    raise typer.Exit(4)


def _checked(database: Database, drive: Drive, *, deep: bool, as_json: bool) -> ProgramRun:
    """The program's output is shown as it comes; a failure is remembered for the volume."""
    if not as_json:
        output.say(M("Checking the volume in drive {drive}: this may take hours …", drive=drive.name))
    try:
        with output.elapsed(show=not as_json) as show:
            return drive.check(deep=deep, on_output=show)
    except NotMountable as error:
        medium = drive.look().to_json()
        with database.transaction() as session:
            mounts.failed(session, medium, error.in_one())
        raise


def _show(drive: Drive, medium: Medium, message: Message, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"drive": drive.name, "medium": medium.to_json()})
    else:
        output.say(message, style="green")
