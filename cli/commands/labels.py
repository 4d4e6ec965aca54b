"""``tapeline tape register|label|erasable|sheet``: facts about the cartridge in a drive of this host, and
cards to print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import person
from cli.host import stack
from cli.render import output
from cli.render.output import AsJson
from db import views
from db.errors import NotAllowed
from db.tapes import cartridges, erasable
from policy.errors import UsageError
from policy.message import M, Message
from policy.tapes import label as labels
from policy.tapes.facts import described
from tape.drive import Drive, Medium, MediumState
from tape.errors import NotMountable
from tasks.drive import by_hand

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
    """Register the cartridge that is in the drive, or put a known one into a pool. Nothing is written to it.

    A schedule with the tape policy pool:NAME uses the cartridges of that pool, blank ones too.
    """
    with stack.database() as database:
        tape = by_hand.register(database, by_hand.idle(database, drive), tape_id, pool)
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
    """Change the label of the tape in the drive, and keep its data. A format gives a blank tape its label."""
    labels.check(new)
    with stack.database() as database:
        tape_drive = by_hand.idle(database, drive)
        before = tape_drive.look()
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
        tape_drive.relabel(new)
        after = tape_drive.look()
        by_hand.note(database, tape_drive, after)
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


def sheet(
    out: Annotated[Path, typer.Option("--out", help="The PDF to write.", metavar="FILE")],
    names: Annotated[
        list[str] | None,
        typer.Argument(help="The tapes, by id or label; else all on which nothing is yet.", metavar="LABEL"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a card to print for each tape: its label, its barcode as a library reads it, and a QR code that
    opens its page, if dashboard_url is set. Four cards are a page of A4."""
    from dashboard import sheets  # noqa: PLC0415 - only this command draws

    with stack.database() as database, database.transaction() as session:
        tapes = sheets.chosen(session, names or [])
        made = sheets.drawn(tapes)
        labels = [tape.tape_id for tape in tapes]
    out.write_bytes(made)
    if as_json:
        output.print_json({"file": str(out), "tapes": labels})
    else:
        output.say(M("{file}: {count} tapes.", file=str(out), count=len(labels)))


def say_erasable(
    confirm: Annotated[
        str | None,
        typer.Option(
            "--confirm", metavar="SERIAL", help="The value that the command shows without this option."
        ),
    ] = None,
    drive: DriveOption = None,
    as_json: AsJson = False,
) -> None:
    """Confirm, for a tape in a drive of this host that LTFS cannot read, that nothing on it is needed.

    LTFS cannot distinguish a new tape from one that another program has written, unless a chip proves that it
    is new. Without --confirm the command only shows what is in the drive and stores nothing. With the
    cartridge's serial, its barcode, or, if the drive reports neither, the drive's name, the next run may
    format the tape, once.
    """
    with stack.database() as database:
        tape_drive = by_hand.idle(database, drive)
        medium = tape_drive.look()
        by_hand.note(database, tape_drive, medium)
        _refuse_what_is_readable(tape_drive, medium)
        facts = medium.to_json()
        mark = erasable.mark_of(facts)
        if confirm is None:
            _show_what_it_would_allow(tape_drive, mark, as_json=as_json)
            raise typer.Exit(4)
        if confirm != (mark or tape_drive.name):
            raise UsageError(
                M(
                    "--confirm {confirm}: the drive reports {mark}.",
                    confirm=confirm,
                    mark=mark or tape_drive.name,
                ),
                M("Look at the sticker of the cartridge; without --confirm, the command shows what to give."),
            )
        with database.transaction() as session:
            erasable.confirm(session, tape_drive.name, facts, person.name())
    if as_json:
        output.print_json({"drive": tape_drive.name, "mark": mark, "confirmed": True})
        return
    output.say(_holds(tape_drive, mark), style="yellow")


def _refuse_what_is_readable(drive: Drive, medium: Medium) -> None:
    if medium.state is MediumState.FOREIGN:
        return
    raise NotAllowed(
        M(
            "In drive {drive}: {tape}. Only a tape that LTFS cannot read needs this.",
            drive=drive.name,
            tape=described(medium.state.value, medium.label),
        ),
        M("See what a run would do with it: tapeline format --drive {drive} --dry-run", drive=drive.name),
    )


def _show_what_it_would_allow(drive: Drive, mark: str | None, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"drive": drive.name, "mark": mark, "confirmed": False})
        return
    output.say(
        M(
            "LTFS cannot read cartridge {mark} in drive {drive}."
            " It is new, or another program has written it.",
            drive=drive.name,
            mark=mark or "-",
        ),
        style="bold",
    )
    if mark is None:
        output.say(
            M("The drive reports neither a serial nor a barcode: look at the sticker before you confirm.")
        )
    output.say(
        M(
            "If nothing on it is needed: tapeline tape erasable --drive {drive} --confirm {mark}",
            drive=drive.name,
            mark=mark or drive.name,
        )
    )


def _holds(drive: Drive, mark: str | None) -> Message:
    if mark is not None:
        return M("The next run that finds cartridge {mark} may format it, once.", mark=mark)
    return M(
        "The next run may format what is in drive {drive}, once. It holds for {hours} h, and ends when"
        " anything else is seen in the drive.",
        drive=drive.name,
        hours=round(erasable.UNNAMED_HOLDS.total_seconds() / 3600),
    )
