"""``tapeline schedule apply``, ``export`` and ``schema``: schedules from a file, and as one."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from celery_app.host import wanted as host_wanted
from cli import schedule_source
from cli.commands.schedules import next_run, written
from cli.host import stack
from cli.render import output
from cli.render.output import AsJson
from db.engine import Database
from db.models import now
from db.schedules import schedules, sync
from db.schedules.sync import Action, ScheduleChange
from db.tapes import drives
from policy.errors import UsageError
from policy.message import M, Message
from policy.schedule import file as schedule_file
from policy.schedule import toml
from policy.schedule.file import WantedSchedule


def apply(
    file: Annotated[Path, typer.Argument(help="The file: *.toml, *.yaml or *.yml.", metavar="FILE")],
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove schedules that the file does not name.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and stop.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    editable: Annotated[
        bool, typer.Option("--editable", help="Let the dashboard edit these schedules from then on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Apply a file of schedules: create and change them, and with --prune remove the others.

    Shows every difference first. History is never lost: a schedule that has run is archived, and a file that
    names it again revives it. A field that the file omits gets its default. The dashboard then shows these
    schedules as declared by the file and does not edit them; with --editable it does.
    """
    wanted = host_wanted.read(schedule_source.load(file))
    with stack.database() as database:
        with database.transaction() as session:
            host_wanted.check_commands(session, wanted)
            changes = sync.differences(session, wanted, prune=prune)
        if not as_json:
            _print(changes)
        if changes and not dry_run:
            _confirm(changes, yes=yes, as_json=as_json)
            _make(database, wanted, changes, prune=prune)
        declared = [] if dry_run else _declare(database, wanted, None if editable else file)
        if as_json:
            output.print_json(
                {"changes": [each.to_json() for each in changes], "applied": bool(changes) and not dry_run}
            )
        elif not dry_run:
            if changes:
                _print_next(database, wanted)
            _print_declared(declared, None if editable else file)


def _confirm(changes: list[ScheduleChange], *, yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise UsageError(M("Nobody can be asked here; nothing was changed."), M("Add --yes, or --dry-run."))
    typer.confirm(output.in_words(M("Make these {count} changes?", count=len(changes))), abort=True)


def _make(
    database: Database, wanted: list[WantedSchedule], changes: list[ScheduleChange], *, prune: bool
) -> None:
    """Raises UsageError, and changes nothing, if the schedules have changed since they were shown."""
    with database.transaction() as session:
        if sync.differences(session, wanted, prune=prune) != changes:
            raise UsageError(
                M("The schedules were changed meanwhile; nothing was changed here."),
                M("Run the command again and look at the differences."),
            )
        sync.apply(session, wanted, changes, now())


def _declare(database: Database, wanted: list[WantedSchedule], file: Path | None) -> list[str]:
    where = f"{socket.gethostname()}:{file.resolve()}" if file else None
    with database.transaction() as session:
        return sync.declare(session, [want.name for want in wanted], where)


def _print_declared(names: list[str], file: Path | None) -> None:
    """Only what has changed."""
    if not names:
        return
    listed = ", ".join(names)
    if file is None:
        output.say(M("The dashboard can edit these from now on: {names}", names=listed))
    else:
        output.say(M("Declared by {file}, and edited there only: {names}", file=str(file), names=listed))


_TITLES: dict[Action, tuple[str, str]] = {
    Action.CREATE: ("+", "green"),
    Action.RESTORE: ("+", "green"),
    Action.CHANGE: ("~", "yellow"),
    Action.ARCHIVE: ("-", "red"),
    Action.DELETE: ("-", "red"),
}


def _print(changes: list[ScheduleChange]) -> None:
    if not changes:
        output.say(M("The schedules are as the file says."))
    for change in changes:
        sign, style = _TITLES[change.action]
        title = output.in_words(_what(change.action))
        output.console.print(f"{sign} {change.schedule}: {title}", style=style, markup=False, soft_wrap=True)
        for field in change.fields:
            is_new = change.action is Action.CREATE
            shown = written(field.after) if is_new else f"{written(field.before)} → {written(field.after)}"
            if not (is_new and field.after is None):
                output.console.print(f"    {field.name}: {shown}", markup=False, soft_wrap=True)


def _what(action: Action) -> Message:
    return {
        Action.CREATE: M("is created"),
        Action.RESTORE: M("comes back with its history"),
        Action.CHANGE: M("is changed"),
        Action.ARCHIVE: M("is removed; its runs and sets stay"),
        Action.DELETE: M("is removed; it never ran"),
    }[action]


def _print_next(database: Database, wanted: list[WantedSchedule]) -> None:
    with database.transaction() as session:
        registered = drives.names(session)
        for want in wanted:
            row = schedules.get(session, want.name)
            output.say(next_run(row))
            if row.drive not in registered:
                output.say(
                    M(
                        "{name}: no worker has registered drive '{drive}' yet.",
                        name=row.name,
                        drive=row.drive,
                    ),
                    style="yellow",
                )


def export(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="The schedules; all if none is named.", metavar="[NAME]..."),
    ] = None,
) -> None:
    """Print schedules as TOML, without what has its default; `tapeline schedule apply` changes nothing."""
    with stack.database() as database, database.transaction() as session:
        rows = [schedules.get(session, name) for name in names or ()] or schedules.present(session)
        text = toml.document({row.name: list(sync.shown(row)) for row in rows})
    output.print_raw(text)


def schema() -> None:
    """Print the JSON Schema of the file of schedules, for editors that complete and check it."""
    output.print_json(schedule_file.json_schema())
