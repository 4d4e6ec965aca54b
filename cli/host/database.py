"""``tapeline database``: dumps Tapeline's own database to a file, and restores it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from backup.format import age
from celery_app import wiring
from cli import person
from cli.host import audited, stack
from cli.render import output
from cli.render.output import AsJson, examples
from cli.render.troubles import say_held
from db import views
from db.admin import dump, holds, load
from db.engine import Database
from db.models import now
from policy import units
from policy.errors import UsageError
from policy.message import M

app = typer.Typer(no_args_is_help=True)


@app.command(name="dump", epilog=examples("tapeline database dump /backup/tapeline.sql.zst"))
def dump_database(
    file: Annotated[Path, typer.Argument(help="The file to write; an existing one is replaced.")],
) -> None:
    """Dump the whole database into a file of SQL, compressed with Zstandard.

    Each backup writes the same dump onto its tape. Tapeline may be running meanwhile.
    """
    draft = file.with_name(f".{file.name}.part")
    with stack.database() as database:
        try:
            dump.write(database, draft)
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
    size = units.size(file.stat().st_size)
    output.say(M("The database is in {file} ({size}).", file=str(file), size=size))


@app.command(
    epilog=examples(
        "tapeline database restore /backup/tapeline.sql.zst",
        "tapeline database restore /mnt/tape/sets/SET/database.sql.zst.age --identity key.txt",
    )
)
def restore(
    file: Annotated[Path, typer.Argument(help="A dump; on a tape it is sets/SET/database.sql.zst.")],
    identity: Annotated[
        Path | None, typer.Option(help="The file with the secret key of an encrypted dump.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Restore a dump into an empty database.

    Nothing then runs automatically: schedules and unfinished runs are held until they are released. First
    import the tapes that were written since. A database that is not empty is refused.
    """
    if not file.is_file():
        raise UsageError(M("There is no file {file}.", file=str(file)), M("Name a dump of the database."))
    with stack.servers(), file.open("rb") as opened:
        keys = age.identities(identity) if identity else ()
        database = wiring.database()
        with age.decrypted(opened, file.name, keys) as plain:
            taken = load.restore(database, plain)
        audited.note(database)
        counts, held = _counted(database), _held(database)
    if as_json:
        output.print_json({"taken_at": taken.isoformat(), **counts, "held": held})
        return
    at = output.local(taken.isoformat())
    output.say(M("The database is as of {at}: {sets} sets, {tapes} tapes, {runs} runs.", at=at, **counts))
    output.say(M("Next: import every tape that was written after that: tapeline tape import"))
    say_held(held)


def _held(database: Database) -> dict[str, list[Any]]:
    with database.transaction() as session:
        return views.held_json(session)


@app.command(
    epilog=examples(
        "tapeline database release --run 1",
        "tapeline database release --schedule monthly-full",
        "tapeline database release --all",
    )
)
def release(
    run: Annotated[
        list[int] | None, typer.Option(help="An unfinished run; may be repeated.", metavar="RUN")
    ] = None,
    schedule: Annotated[
        list[str] | None, typer.Option(help="A schedule; may be repeated.", metavar="NAME")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that is held.")] = False,
    as_json: AsJson = False,
) -> None:
    """Release what is held since the database was restored.

    A run continues where it was, with the tape in its drive; a schedule fires at its next time.
    """
    with stack.database() as database:
        from tasks import chain  # noqa: PLC0415 - loading Celery takes half a second

        with database.transaction() as session:
            numbers, names = _named(session, run or [], schedule or [], everything=everything)
            for name in names:
                holds.release_schedule(session, name, now())
            drives = {holds.release_run(session, number, person.name()).drive for number in numbers}
        for drive in sorted(drives):
            chain.release(drive, brief=True)
    released = {"runs": numbers, "schedules": names}
    if as_json:
        output.print_json(released)
        return
    for number in numbers:
        output.say(M("Run {run} is released: tapeline runs watch {run}", run=number))
    for name in names:
        output.say(M("Schedule '{schedule}' is released: tapeline schedule next {schedule}", schedule=name))


def _named(
    session: Session, numbers: list[int], names: list[str], *, everything: bool
) -> tuple[list[int], list[str]]:
    """Raises UsageError that lists what is held, if nothing is named."""
    held = views.held_json(session)
    if everything:
        return held["runs"], held["schedules"]
    if numbers or names:
        return numbers, names
    raise UsageError(
        M(
            "Nothing is named. Held are runs {runs}; schedules {schedules}.",
            runs=", ".join(map(str, held["runs"])) or "-",
            schedules=", ".join(held["schedules"]) or "-",
        ),
        M("Name one with --run or --schedule, or all with --all."),
    )


@app.command(epilog=examples("tapeline database hold"))
def hold(as_json: AsJson = False) -> None:
    """Hold all unfinished runs and all schedules, until they are released by name.

    A copy made by ``tapeline database restore``, psql or pg_restore is held automatically. Use this before
    you start Tapeline with a copy that was made below the server: a snapshot of its disk, a base backup.
    """
    with stack.database() as database:
        with database.transaction() as session:
            holds.hold_everything(session)
        held = _held(database)
    if as_json:
        output.print_json({"held": held})
        return
    say_held(held)


def _counted(database: Database) -> dict[str, int]:
    with database.transaction() as session:
        return load.counts(session)
