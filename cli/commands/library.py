"""``tapeline library``: what is in a media changer, and moving it by hand, on the host that has it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from celery_app import settings, wiring
from celery_app.drive_settings import feeder_of
from cli import person
from cli.host import stack
from cli.render import output
from cli.render.output import AsJson, examples
from db.errors import NotAllowed
from db.libraries import as_json as library_json
from db.libraries import inventory
from db.tapes import cartridges, mount_backoff
from policy.errors import UsageError
from policy.message import M, Message
from tape.changer import Inventory

if TYPE_CHECKING:
    from tasks.library.robot import Robot

app = typer.Typer(no_args_is_help=True)

LibraryName = Annotated[
    str | None, typer.Option("--library", help="The library, if this host has several.", metavar="NAME")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the move; move nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Move without asking.")]
What = Annotated[str, typer.Argument(help="A barcode, a label, or the number of a slot.", metavar="TAPE")]
ServedDrive = Annotated[
    str | None, typer.Option("--drive", help="The drive; else the default drive.", metavar="DRIVE")
]


@app.command(name="list", epilog=examples("tapeline library list", "tapeline library list --json"))
def list_libraries(as_json: AsJson = False) -> None:
    """List the libraries: what was in each drive and slot when the robot was asked last. Moves nothing."""
    with stack.database() as database, database.transaction() as session:
        libraries = [library_json.library(session, row) for row in inventory.every(session)]
    if as_json:
        output.print_json([_in_words(each) for each in libraries])
        return
    if not libraries:
        output.say(M("No library is known yet. On its host: tapeline library inventory"))
    for each in libraries:
        _show(each)


@app.command(name="inventory", epilog=examples("tapeline library inventory"))
def read_inventory(name: LibraryName = None, as_json: AsJson = False) -> None:
    """Let the robot read every barcode again. It takes minutes, and moves no cartridge."""
    with stack.database() as database:
        library = _library(name)
        with output.elapsed(show=not as_json), _held(library) as arm:
            arm.look(anew=True)
        with database.transaction() as session:
            facts = library_json.library(session, inventory.get(session, library))
    if as_json:
        output.print_json(_in_words(facts))
    else:
        _show(facts)


@app.command(
    epilog=examples("tapeline library load TP0001L9", "tapeline library load 3 --drive tape1 --dry-run")
)
def load(
    tape: What,
    drive: ServedDrive = None,
    dry_run: DryRunOption = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Load a tape from its slot into a drive. Refused while a run uses the drive."""
    name, number, served = _served(drive)
    with _shown(name) as contents:
        slot = _slot(name, contents, tape)
        move = M(
            "{barcode} from slot {slot} into drive {drive}",
            barcode=_code(contents, slot),
            slot=slot,
            drive=served,
        )
        if _may(move, dry_run=dry_run, yes=yes, as_json=as_json):
            with _robot(name, contents) as arm:
                arm.load(slot, number, _barcode(contents, slot))
            _forget(served)
            _done(name, move, as_json=as_json)


@app.command(
    epilog=examples("tapeline library unload", "tapeline library unload --drive tape1 --slot 4 --yes")
)
def unload(
    drive: ServedDrive = None,
    slot: Annotated[
        int | None, typer.Option("--slot", help="Where to; else where it came from.", metavar="SLOT")
    ] = None,
    dry_run: DryRunOption = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Put the tape of a drive into a slot. Refused while a run uses the drive."""
    name, number, served = _served(drive)
    with _shown(name) as contents:
        bay = contents.bay(number)
        if bay is None or not bay.full:
            raise UsageError(
                M("Drive {drive} is empty.", drive=served), M("'tapeline library list' shows what is where.")
            )
        target = slot if slot is not None else contents.free_slot(bay.home)
        if target is None:
            raise UsageError(
                M("Every slot of library {library} is full.", library=name),
                M("Take a cartridge out first: tapeline library export TAPE"),
            )
        move = M(
            "{barcode} from drive {drive} into slot {slot}",
            barcode=bay.barcode or "-",
            drive=served,
            slot=target,
        )
        if _may(move, dry_run=dry_run, yes=yes, as_json=as_json):
            with _robot(name, contents) as arm:
                arm.unload(number, target, bay.barcode)
            _forget(served)
            _done(name, move, as_json=as_json)


@app.command(
    name="import", epilog=examples("tapeline library import", "tapeline library import --yes --json")
)
def import_(
    name: LibraryName = None, dry_run: DryRunOption = False, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Move what is in the mail slots into empty slots."""
    library = _library(name)
    with _shown(library) as contents:
        free = (slot.number for slot in contents.slots if not slot.full and not slot.is_mail)
        come = [slot for slot in contents.slots if slot.full and slot.is_mail]
        pairs = list(zip(come, free, strict=False))
        if not pairs:
            raise UsageError(
                M("Nothing to import: no mail slot is full, or no other slot is empty."),
                M("Put the cartridges into the mail slot first; 'tapeline library list' shows them."),
            )
        moves = _together(
            M(
                "{barcode} from mail slot {source} into slot {slot}",
                barcode=slot.barcode or "-",
                source=slot.number,
                slot=to,
            )
            for slot, to in pairs
        )
        if _may(moves, dry_run=dry_run, yes=yes, as_json=as_json):
            with _robot(library, contents) as arm:
                for slot, to in pairs:
                    arm.move(slot.number, to, slot.barcode)
            _done(library, moves, as_json=as_json)


@app.command(epilog=examples("tapeline library export TP20261101", "tapeline library export 3 --dry-run"))
def export(
    tape: What,
    name: LibraryName = None,
    dry_run: DryRunOption = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Move a tape into an empty mail slot, to be taken out."""
    library = _library(name)
    with _shown(library) as contents:
        slot = _slot(library, contents, tape)
        mail = next((each.number for each in contents.slots if each.is_mail and not each.full), None)
        if mail is None:
            raise UsageError(
                M("No mail slot of library {library} is empty.", library=library),
                M("Take out what is in it, then try again."),
            )
        move = M(
            "{barcode} from slot {slot} into mail slot {mail}",
            barcode=_code(contents, slot),
            slot=slot,
            mail=mail,
        )
        if _may(move, dry_run=dry_run, yes=yes, as_json=as_json):
            with _robot(library, contents) as arm:
                arm.move(slot, mail, _barcode(contents, slot), out=True)
            _done(library, move, as_json=as_json)


def _library(name: str | None) -> str:
    """The library of this host. Raises UsageError."""
    known = settings.load().changers
    if name is None and len(known) == 1:
        return next(iter(known))
    if name is None:
        raise UsageError(
            M("This host has {count} libraries.", count=len(known)),
            M("Name one with --library.")
            if known
            else M("Configure it as [changers.NAME] in tapeline.toml."),
        )
    wiring.changer_settings(name)
    return name


def _served(drive: str | None) -> tuple[str, int, str]:
    """The library of a drive, its number there, and its name. Raises UsageError."""
    name = drive or settings.load().default_drive
    settings.load().drive(name)
    feeder = feeder_of(settings.load().changers, name)
    if feeder is None:
        raise UsageError(
            M("No library of this host feeds drive {drive}.", drive=name),
            M("Add it to 'drives' of [changers.NAME], or change the tape by hand."),
        )
    return feeder[0], feeder[2], name


@contextmanager
def _shown(name: str) -> Iterator[Inventory]:
    """What is where now in a library of this host. The robot is free again while a person is asked."""
    with stack.database():
        with _held(name) as arm:
            contents = arm.look()
        yield contents


@contextmanager
def _robot(name: str, shown: Inventory) -> Iterator[Robot]:
    """The robot, for a move that was decided upon what was shown. Raises NotAllowed if that has changed."""
    with _held(name) as arm:
        if arm.look() != shown:
            raise NotAllowed(
                M("Library {library} was changed meanwhile; nothing was moved.", library=name),
                M("Run the command again and look at the move."),
            )
        yield arm


def _held(name: str) -> AbstractContextManager[Robot]:
    from tasks.library import robot  # noqa: PLC0415 - lists do without it

    return robot.held(name, asked_by=person.name())


def _slot(library: str, contents: Inventory, tape: str) -> int:
    """The full slot that is meant: by its number, its barcode, or the label of its tape. Raises
    UsageError."""
    if tape.isdecimal() and contents.slot(int(tape)) is not None:
        names: set[str | None] = set()
        slots = [slot for slot in contents.slots if slot.number == int(tape) and slot.full]
    else:
        names = {tape, _barcode_of(tape)} - {None}
        slots = [slot for slot in contents.slots if slot.barcode in names]
    if len(slots) == 1:
        return slots[0].number
    if slots:
        raise UsageError(
            M("Two cartridges have the barcode {tape}.", tape=tape),
            M("Name its slot: 'tapeline library list' shows what is where."),
        )
    for bay in contents.bays:
        if bay.barcode in names:
            drive = wiring.changer_settings(library).drives.get(bay.number, "-")
            raise UsageError(
                M("{tape} is in drive {drive}.", tape=tape, drive=drive),
                M("Put it into a slot first: tapeline library unload --drive {drive}", drive=drive),
            )
    raise UsageError(
        M("No slot has the tape {tape}.", tape=tape),
        M("Name its slot: 'tapeline library list' shows what is where."),
    )


def _barcode_of(label: str) -> str | None:
    with wiring.database().transaction() as session:
        cartridge = cartridges.find(session, label)
        return cartridge.barcode if cartridge else None


def _barcode(contents: Inventory, slot: int) -> str | None:
    place = contents.slot(slot)
    return place.barcode if place else None


def _code(contents: Inventory, slot: int) -> str:
    return _barcode(contents, slot) or "-"


def _may(move: Message, *, dry_run: bool, yes: bool, as_json: bool) -> bool:
    """Whether to make a move: with --yes, or if a person at a terminal agrees. Raises UsageError in a
    script."""
    if dry_run:
        if as_json:
            output.print_json({"would_move": output.in_words(move), "moved": False})
        else:
            output.say(M("Would move: {move}", move=move.to_json()))
        return False
    if yes:
        return True
    if as_json or not sys.stdin.isatty():
        raise UsageError(
            M("Nobody can be asked here: {move}.", move=move.to_json()), M("Add --yes to move it.")
        )
    return typer.confirm(output.in_words(M("Move {move}?", move=move.to_json())), default=False)


def _done(library: str, move: Message, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"library": library, "move": output.in_words(move), "moved": True})
    else:
        output.say(M("Done: {move}", move=move.to_json()), style="green")


def _forget(drive: str) -> None:
    """A person has changed the tape: a run that waits there tries it."""
    with wiring.database().transaction() as session:
        mount_backoff.forget(session, drive)


def _together(moves: Iterable[Message]) -> Message:
    return M("{moves}", moves="; ".join(map(output.in_words, moves)))


_WHAT = {
    "empty": M("empty"),
    "tape": M("known tape"),
    "new": M("new: no drive has shown it yet"),
    "cleaning": M("cleaning cartridge"),
    "unread": M("no readable barcode"),
    "twice": M("another cartridge has this barcode"),
}


def _show(library: dict[str, Any]) -> None:
    output.say(
        M(
            "Library {name} ({driver}, {host}), read {at}",
            name=library["name"],
            driver=library["driver"],
            host=library["host"],
            at=output.local(library["read_at"]),
        ),
        style="bold",
    )
    if library["old"]:
        output.say(
            M("This may be old: {why} Read it again: tapeline library inventory", why=library["old"]),
            style="yellow",
        )
    places = [
        (M("drive {number} ({drive})", number=bay["number"], drive=bay["drive"] or "-"), bay)
        for bay in library["drives"]
    ] + [
        (
            M("mail slot {number}", number=slot["number"])
            if slot["mail"]
            else M("slot {number}", number=slot["number"]),
            slot,
        )
        for slot in library["slots"]
    ]
    output.print_table(
        [M("Place"), M("Barcode"), M("Tape"), M("State"), M("What it is")],
        (
            [
                output.in_words(name),
                place["barcode"],
                place["label"] or place["tape_id"],
                place["state"],
                output.in_words(_WHAT[place["what"]]),
            ]
            for name, place in places
        ),
        M("It has no slots."),
    )


def _in_words(library: dict[str, Any]) -> dict[str, Any]:
    """Stored messages as the operator reads them."""
    moves = [{**move, "outcome": output.message(move["outcome"])} for move in library["moves"]]
    return {**library, "old": output.message(library["old"]), "moves": moves}
