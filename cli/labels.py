"""``tapeline tape register|label``: what an operator says of the cartridge in a drive, on its host."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import drives, output, stack
from cli.output import AsJson
from db import cartridges, views
from db.errors import NotAllowed
from policy import label as labels
from policy.message import M
from policy.tapes import described
from tape.drive import MediumState
from tape.errors import NoMedium, NotMountable

DriveOption = Annotated[
    str | None, typer.Option("--drive", help="The drive it is in; else the default drive.")
]


def register(
    tape_id: Annotated[
        str | None, typer.Option("--id", help="Its name here; else the label that is on it.")
    ] = None,
    pool: Annotated[str | None, typer.Option("--pool", help="The pool it belongs to from now on.")] = None,
    drive: DriveOption = None,
    as_json: AsJson = False,
) -> None:
    """Enter the cartridge that is in the drive, or put one that is known into a pool. It is not written.

    A schedule with the tape policy pool:NAME uses the cartridges of that pool, blank ones too.
    """
    with stack.database() as database:
        found = drives.idle(database, drive)
        medium = found.look()
        drives.note(database, found, medium)
        if medium.state is MediumState.NO_MEDIUM:
            raise NoMedium(
                M("There is no cartridge in drive {drive}.", drive=found.name), M("Put a cartridge in.")
            )
        name = tape_id or medium.label or medium.barcode or medium.medium_serial
        with database.transaction() as session:
            cartridge = cartridges.register(session, medium.to_json(), labels.check(name or ""), pool)
            tape = views.tape_json(session, cartridge)
    if as_json:
        output.print_json(tape)
        return
    output.say(
        M(
            "Tape {tape_id}: label {label}, pool {pool}.",
            tape_id=tape["tape_id"],
            label=tape["label"] or "-",
            pool=tape["pool"] or "-",
        ),
        style="green",
    )


def label(
    new: Annotated[str, typer.Argument(help="The label to write.", metavar="LABEL")],
    drive: DriveOption = None,
    as_json: AsJson = False,
) -> None:
    """Change the label of the tape in the drive, and keep its data. A blank one is labelled by a format."""
    labels.check(new)
    with stack.database() as database:
        found = drives.idle(database, drive)
        before = found.look()
        if before.state is not MediumState.FORMATTED:
            raise NotMountable(
                M(
                    "The tape in the drive has no volume ({state}).",
                    state=described(before.state.value, None),
                ),
                M("A run that formats it gives it a label."),
            )
        with database.transaction() as session:
            if new in cartridges.labels_of_others(session, before.to_json()):
                raise NotAllowed(
                    M("Another tape has the label {label}.", label=new), M("Give this one another label.")
                )
        found.relabel(new)
        after = found.look()
        drives.note(database, found, after)
        with database.transaction() as session:
            cartridge, _ = cartridges.update_label(session, original=before.label, medium=after.to_json())
            tape = views.tape_json(session, cartridge)
    if as_json:
        output.print_json(tape)
        return
    output.say(
        M("Label {before} → {after}; the data stay.", before=before.label or "-", after=after.label or "-"),
        style="green",
    )
