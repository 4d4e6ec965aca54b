"""``tapeline database``: Tapeline's own database as a file, and made again from one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import func, select

from backup import age
from celery_app import wiring
from cli import output, stack
from cli.output import AsJson, examples
from db import dump, undump
from db.engine import Database
from db.models import BackupSet, ChainRun, TapeCartridge
from policy import units
from policy.errors import UsageError
from policy.message import M

app = typer.Typer(help="The database itself: a copy of it, and making it again.", no_args_is_help=True)


@app.command(name="dump", epilog=examples("tapeline database dump /backup/tapeline.sql.zst"))
def dump_database(
    file: Annotated[Path, typer.Argument(help="The file to write; one that is there is replaced.")],
) -> None:
    """Write the whole database into a file of SQL, compressed with Zstandard.

    The same is on each tape beside each backup. Tapeline may be at work meanwhile.
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
        Path | None, typer.Option(help="The file with the secret key of an encrypted one.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an empty database as it was when a dump was written.

    Nothing runs by itself then: every schedule is switched off, until the tapes that were written since are
    imported, too. A database that holds anything is refused.
    """
    if not file.is_file():
        raise UsageError(M("There is no file {file}.", file=str(file)), M("Name a dump of the database."))
    with stack.servers(), file.open("rb") as opened:
        keys = age.identities(identity) if identity else ()
        database = wiring.database()
        with age.decrypted(opened, file.name, keys) as plain:
            taken, on = undump.restore(database, plain)
        found = {"taken_at": taken.isoformat(), **_counted(database), "schedules_switched_off": on}
    if as_json:
        output.print_json(found)
        return
    counts = {name: found[name] for name in ("sets", "tapes", "runs")}
    at = output.local(taken.isoformat())
    output.say(M("The database is as of {at}: {sets} sets, {tapes} tapes, {runs} runs.", at=at, **counts))
    output.say(M("Next: import every tape that was written after that: tapeline tape import"))
    for name in on:
        output.say(M("Then switch its schedules on again: tapeline schedule enable {name}", name=name))


def _counted(database: Database) -> dict[str, int]:
    models = {"sets": BackupSet, "tapes": TapeCartridge, "runs": ChainRun}
    with database.transaction() as session:
        return {
            name: session.scalar(select(func.count()).select_from(model)) or 0
            for name, model in models.items()
        }
