"""``tapeline tape`` and ``tapeline drive``: cartridges and what is in the drives."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from sqlalchemy import select

from cli import output, stack
from cli.output import AsJson
from db import cartridges, views
from db.errors import NotFound
from db.models import ChainRun, Drive, TapeCartridge
from db.states import RunState
from policy import units
from policy.message import M

app = typer.Typer(help="Tapes: what is known of each cartridge.", no_args_is_help=True)
drives = typer.Typer(help="Drives: what is in each and what it does.", no_args_is_help=True)


@app.command(name="list")
def list_tapes(as_json: AsJson = False) -> None:
    """List the cartridges."""
    with stack.database() as database, database.transaction() as session:
        rows = session.scalars(select(TapeCartridge).order_by(TapeCartridge.tape_id))
        found = [views.tape_json(session, row) for row in rows]
    if as_json:
        output.print_json(found)
        return
    output.print_table(
        [M("Tape"), M("Label"), M("Generation"), M("State"), M("Pool"), M("Used"), M("Capacity"), M("Sets")],
        (
            [
                tape["tape_id"],
                tape["label"],
                tape["generation"],
                tape["state"],
                tape["pool"],
                units.size(tape["bytes_used"]),
                units.size(tape["capacity"]) if tape["capacity"] else None,
                sum(stored["state"] != "destroyed" for stored in tape["sets"]),
            ]
            for tape in found
        ),
        M("No tapes are known yet."),
    )


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The tape's id or label.", metavar="TAPE")],
    as_json: AsJson = False,
) -> None:
    """Show a cartridge and every set that ever was on it.

    Example: tapeline tape show TP20261101
    """
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
    output.print_table(
        [M("Set"), M("Type"), M("State"), M("Files"), M("Size"), M("Finished")],
        (
            [
                s["id"],
                s["type"],
                s["state"],
                s["files"],
                units.size(s["bytes"]),
                output.local(s["finished_at"]),
            ]
            for s in tape["sets"]
        ),
        M("No set was ever on it."),
    )


@drives.command(name="list")
def list_drives(as_json: AsJson = False) -> None:
    """List the drives with their workers, what is in them and what they do."""
    with stack.database() as database, database.transaction() as session:
        found = [drive_json(session, row) for row in session.scalars(select(Drive).order_by(Drive.name))]
    if as_json:
        output.print_json(found)
        return
    output.print_table(
        [M("Drive"), M("Host"), M("Worker seen"), M("Tape"), M("Looked at"), M("Run"), M("Waiting")],
        (
            [
                drive["name"],
                drive["host"],
                output.local(drive["last_seen_at"]),
                (drive["medium"] or {}).get("label") or (drive["medium"] or {}).get("state"),
                output.local(drive["medium_at"]),
                drive["run"],
                ", ".join(map(str, drive["waiting"])) or None,
            ]
            for drive in found
        ),
        M("No drive has registered yet: its worker does so when it starts."),
    )


def drive_json(session: Any, drive: Drive) -> dict[str, Any]:
    """A drive as scripts see it."""
    of_drive = select(ChainRun.id).where(ChainRun.drive == drive.name)
    return {
        "name": drive.name,
        "driver": drive.driver,
        "host": drive.host,
        "worker": drive.worker,
        "queue": drive.queue,
        "last_seen_at": views.iso(drive.last_seen_at),
        "medium": drive.medium,
        "medium_at": views.iso(drive.medium_at),
        "run": session.scalar(of_drive.where(ChainRun.state == RunState.RUNNING)),
        "waiting": list(
            session.scalars(of_drive.where(ChainRun.state.in_([RunState.QUEUED, RunState.WAITING_FOR_TAPE])))
        ),
    }
