"""``tapeline tape`` and ``tapeline drive``: cartridges and what is in the drives."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from celery_app import settings, wiring
from cli import person
from cli.host import stack
from cli.render import ending, output, watch
from cli.render.output import AsJson, examples
from db import views
from db.errors import NotFound
from db.models import Drive
from db.runs import lookup, marking, starting
from db.runs.lookup import RunFilter
from db.states import ACTIVE, RunState
from db.tapes import cartridges
from db.tapes import drives as drive_rows
from notify import states
from policy import units
from policy.message import M, Message
from policy.tapes.facts import CartridgeState

app = typer.Typer(no_args_is_help=True)
drives = typer.Typer(no_args_is_help=True)


@app.command(name="list")
def list_tapes(as_json: AsJson = False) -> None:
    """List the cartridges."""
    with stack.database() as database, database.transaction() as session:
        if as_json:
            output.print_json(views.tapes_json(session, cartridges.every(session)))
            return
        tapes = views.tapes_counted(session)
    output.print_table(
        [M("Tape"), M("Label"), M("Generation"), M("State"), M("Pool"), M("Used"), M("Capacity"), M("Sets")],
        (
            [
                tape["tape_id"],
                tape["label"],
                tape["generation"],
                output.state(tape["state"]),
                tape["pool"],
                units.size(tape["bytes_used"]),
                units.size(tape["capacity"]) if tape["capacity"] else None,
                tape["sets"],
            ]
            for tape in tapes
        ),
        M("No tapes are known yet."),
    )


@app.command(epilog=examples("tapeline tape show TP20261101"))
def show(
    name: Annotated[str, typer.Argument(help="The tape's id or label.", metavar="TAPE")],
    as_json: AsJson = False,
) -> None:
    """Show a cartridge and every set that ever was on it."""
    with stack.database() as database, database.transaction() as session:
        cartridge = cartridges.find(session, name)
        if cartridge is None:
            raise NotFound(M("There is no tape '{name}'.", name=name), M("'tapeline tape list' lists them."))
        tape = views.tape_json(session, cartridge)
    if as_json:
        output.print_json(tape)
        return
    used, capacity = tape["bytes_used"], tape["capacity"]
    output.say(
        M(
            "Tape {tape_id}: label {label}, generation {generation}, {state}",
            tape_id=tape["tape_id"],
            label=tape["label"],
            generation=tape["generation"],
            state=tape["state"],
        ),
        style="bold",
    )
    if capacity:
        output.say(
            M(
                "Used: {used} of {capacity} ({percent} %)",
                used=units.size(used),
                capacity=units.size(capacity),
                percent=round(100 * used / capacity),
            )
        )
    if tape["health"]["at"]:
        output.print_facts(condition(tape["health"]))
    output.print_table(
        [M("Set"), M("Type"), M("State"), M("Files"), M("Size"), M("Finished")],
        (
            [
                s["id"],
                s["type"],
                output.set_state(s),
                s["files"],
                units.size(s["bytes"]),
                output.local(s["finished_at"]),
            ]
            for s in tape["sets"]
        ),
        M("No set was ever on it."),
    )


class TapeMark(StrEnum):
    """The marks that an operator may give a cartridge."""

    ACTIVE = CartridgeState.ACTIVE.value
    RETIRED = CartridgeState.RETIRED.value


@app.command(epilog=examples("tapeline tape mark TP20261101 retired", "tapeline tape mark TP20261101 active"))
def mark(
    name: Annotated[str, typer.Argument(help="The tape's id or label.", metavar="TAPE")],
    state: Annotated[TapeMark, typer.Argument(help="What may be done with it from now on.")],
    as_json: AsJson = False,
) -> None:
    """Mark what may be done with a cartridge: 'active' after you have inspected one that was marked 'unknown'
    or 'error', 'retired' for one that is out of use for good.

    Its sets stay in the catalogue unchanged, and kept sets stay kept: 'active' permits no format that a
    format permit would deny.
    """
    with stack.database() as database, database.transaction() as session:
        cartridge = cartridges.find(session, name)
        if cartridge is None:
            raise NotFound(M("There is no tape '{name}'.", name=name), M("'tapeline tape list' lists them."))
        before = cartridge.state
        marking.mark(session, cartridge, CartridgeState(state.value))
        session.refresh(cartridge)
        tape = views.tape_json(session, cartridge)
    if as_json:
        output.print_json(tape)
        return
    output.say(
        M(
            "Tape {tape_id}: {before} → {after}",
            tape_id=tape["tape_id"],
            before=before.value,
            after=tape["state"],
        )
    )


@app.command(
    name="import",
    short_help="Rebuild the catalogue of a tape from the tape.",
    epilog=examples("tapeline tape import", "tapeline tape import TP0001L9", "tapeline tape import --json"),
)
def import_tape(
    tape: Annotated[
        str | None,
        typer.Argument(
            help="The barcode or label of a tape, which the drive's library fetches; else the one in it.",
            metavar="TAPE",
        ),
    ] = None,
    drive: Annotated[str | None, typer.Option(help="The drive that has the tape.")] = None,
    identity: Annotated[
        Path | None, typer.Option(help="The file with the secret key, on the drive host.", metavar="FILE")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow it until it ends.")] = True,
    as_json: AsJson = False,
) -> None:
    """Enter the tape in a drive, its sets and their files into the catalogue, from the tape itself: after the
    database was lost, or for a tape that was written elsewhere. Known entries stay unchanged."""
    from tasks import chain  # noqa: PLC0415 - loading Celery takes half a second

    name = drive or settings.load().default_drive
    settings.load().drive(name)
    with stack.database() as database:
        with database.transaction() as session:
            run = starting.start_import(
                session,
                drive=name,
                requested_by=person.name(),
                identity=str(identity.absolute()) if identity else None,
                tape=tape,
            )
        chain.release(run.drive, brief=True)
        if as_json or not wait:
            if as_json:
                output.print_json({"run": run.id})
            else:
                output.say(M("Run {id} is queued. Follow it: tapeline runs watch {id}", id=run.id))
            return
        ended = watch.follow(run.id)
    ending.leave(ended)


def condition(health: dict[str, Any]) -> list[tuple[Message, Any]]:
    """The condition of a cartridge, as far as the drive reports it."""
    written = health["written_bytes"]
    facts = [
        (M("Loads"), health["loads"]),
        (M("Written in all"), None if written is None else units.size(written)),
        (M("Write errors"), health["write_errors"]),
        (M("Read errors"), health["read_errors"]),
        (M("TapeAlert"), ", ".join(health["tape_alerts"]) or "–"),
        (M("Condition as of"), output.local(health["at"])),
    ]
    return [(name, value) for name, value in facts if value is not None]


@drives.command(name="list")
def list_drives(as_json: AsJson = False) -> None:
    """List the drives with their workers, their contents and their activity."""
    with stack.database() as database, database.transaction() as session:
        listed = drives_json(session)
    if as_json:
        output.print_json(listed)
        return
    output.print_table(
        [M("Drive"), M("Host"), M("Worker seen"), M("Tape"), M("Looked at"), M("Run"), M("Waiting")],
        (
            [
                drive["name"],
                drive["host"],
                seen(drive),
                output.tape(drive["medium"]),
                output.local(drive["medium_at"]),
                drive["run"],
                ", ".join(map(str, drive["waiting"])) or None,
            ]
            for drive in listed
        ),
        M("No drive has registered yet: its worker does so when it starts."),
    )


def seen(drive: dict[str, Any]) -> str | None:
    """When the worker of a drive was last seen, marked if that is too long ago."""
    moment = output.local(drive["last_seen_at"])
    return wiring.words().text(M("{moment} SILENT", moment=moment)) if drive["silent"] else moment


def drives_json(session: Session) -> list[dict[str, Any]]:
    """All drives in the form for scripts."""
    runs = drive_rows.runs_at(session)
    return [drive_json(row, runs[row.name]) for row in drive_rows.every(session)]


def drive_json(drive: Drive, runs: dict[RunState, list[int]]) -> dict[str, Any]:
    """A drive in the form for scripts, with the runs at it by their state."""
    return {
        "name": drive.name,
        "driver": drive.driver,
        "host": drive.host,
        "worker": drive.worker,
        "queue": drive.queue,
        "last_seen_at": views.iso(drive.last_seen_at),
        "silent": wiring.is_silent(drive.last_seen_at),
        "medium": drive.medium,
        "medium_at": views.iso(drive.medium_at),
        "run": next(iter(runs[RunState.RUNNING]), None),
        "waiting": sorted(runs[RunState.QUEUED] + runs[RunState.WAITING_FOR_TAPE]),
    }


@drives.command(
    short_help="Show what is in each drive, and which runs wait for it.",
    epilog=examples("tapeline drive status tape0"),
)
def status(
    name: Annotated[
        str | None, typer.Argument(help="One drive; all if none is named.", metavar="DRIVE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is in each drive, what the drive does, and which runs wait for it. Exit code 4 if one waits
    for a tape."""
    with stack.database() as database, database.transaction() as session:
        rows = drive_rows.every(session)
        if name is not None and name not in {row.name for row in rows}:
            raise NotFound(
                M("There is no drive '{name}'.", name=name), M("'tapeline drive list' lists them.")
            )
        shown = [_status_json(session, row) for row in rows if name in {None, row.name}]
    if as_json:
        output.print_json(shown)
    else:
        for drive in shown:
            _print_status(drive)
    waits = any(run["state"] == RunState.WAITING_FOR_TAPE for drive in shown for run in drive["runs"])
    raise typer.Exit(4 if waits else 0)


def _status_json(session: Any, drive: Drive) -> dict[str, Any]:
    active = lookup.find(session, RunFilter(drive=drive.name, states=ACTIVE))
    cartridge = cartridges.recognise(session, drive.medium) if drive.medium else None
    return {
        **drive_json(drive, drive_rows.runs_at(session)[drive.name]),
        "health": views.health_json(cartridge) if cartridge else None,
        "runs": [views.run_json(run) for run in active],
    }


def _print_status(drive: dict[str, Any]) -> None:
    output.say(M("Drive {name} on {host}", name=drive["name"], host=drive["host"]), style="bold")
    output.print_facts(
        [
            (M("Tape"), output.tape(drive["medium"])),
            (M("Looked at"), output.local(drive["medium_at"])),
            (M("Worker"), drive["worker"]),
            (M("Worker seen"), seen(drive)),
            *(condition(drive["health"]) if drive["health"] and drive["health"]["at"] else []),
        ]
    )
    for run in drive["runs"]:
        output.say(M("Run {id}: {state}", id=run["id"], state=run["state"]), style=states.style(run["state"]))
        if run["reason"]:
            output.console.print(f"  {output.message(run['reason'])}", markup=False, soft_wrap=True)
        if run["state"] == RunState.WAITING_FOR_TAPE:
            output.say(
                M(
                    "It goes on by itself when the tape is in; it waits until {until}.",
                    until=output.local(run["wait_until"]),
                )
            )
