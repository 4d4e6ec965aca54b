"""``tapeline sets copy``: a set on another tape, too."""

from __future__ import annotations

import shutil
from typing import Annotated, Any

import typer

from celery_app import settings
from cli import person
from cli.host import stack
from cli.render import ending, output, watch
from cli.render.output import AsJson
from db.runs import starting
from db.sets import copying
from policy import units
from policy.message import M


def copy_set(
    set_id: Annotated[
        str, typer.Argument(help="The set's id, as 'tapeline sets list' shows it.", metavar="SET")
    ],
    pool: Annotated[
        str | None,
        typer.Option(help="Copy to a tape of this pool, instead of a blank one or one of this month."),
    ] = None,
    drive: Annotated[str | None, typer.Option(help="The drive that reads and writes the tapes.")] = None,
    wait: Annotated[bool, typer.Option(help="Follow it until it ends.")] = True,
    dry_run: Annotated[bool, typer.Option(help="Only show what would be read, and how much.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a set to another tape, byte for byte, to be kept in another building. It is read from its tapes to
    the spool folder of the drive's host, and compared with its hashes; then the run waits for the other tape.
    That is judged as for a backup: a blank one is formatted, one of this month or of the pool is appended to,
    one that has the set is refused. The tape with the copy is as protected as the one with the original. A
    copy goes on one tape."""
    from tasks import chain  # noqa: PLC0415 - loading Celery takes half a second

    name = drive or settings.load().default_drive
    settings.load().drive(name)
    with stack.database() as database:
        with database.transaction() as session:
            plan = copying.plan(session, set_id).to_json()
        if dry_run:
            _show(_with_spool(plan), as_json)
            return
        with database.transaction() as session:
            run = starting.start_copy(
                session, set_id=set_id, drive=name, pool=pool, requested_by=person.name()
            )
        chain.release(run.drive, brief=True)
        if as_json or not wait:
            _say_started(run.id, as_json)
            return
        ended = watch.follow(run.id)
    ending.leave(ended)


def _with_spool(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan, with the spool folder of this host."""
    folder = settings.load().copy_spool
    there = next(each for each in (folder, *folder.parents) if each.is_dir())
    return {**plan, "spool": str(folder), "spool_free": shutil.disk_usage(there).free}


def _show(plan: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.print_json(plan)
        return
    output.say(
        M(
            "{size} in {archives} archives of set {set}.",
            size=units.size(plan["bytes_on_tape"]),
            archives=plan["archives"],
            set=plan["set"],
        )
    )
    output.say(M("Tapes to read, in this order: {tapes}.", tapes=", ".join(plan["tapes"])))
    output.say(
        M(
            "It takes as much in the spool folder; {folder} on this host has {free} free.",
            folder=plan["spool"],
            free=units.size(plan["spool_free"]),
        )
    )
    output.say(M("Then it waits for another tape, which needs room for all of it."))


def _say_started(run_id: int, as_json: bool) -> None:
    if as_json:
        output.print_json({"run": run_id})
    else:
        output.say(M("Run {id} is queued. Follow it: tapeline runs watch {id}", id=run_id))
