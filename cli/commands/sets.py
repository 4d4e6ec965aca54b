"""``tapeline sets``: backup sets, the files in them, and restoring them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from celery_app import settings, wiring
from cli import moment, person
from cli.host import stack
from cli.render import ending, output, watch
from cli.render.output import AsJson, examples
from db.errors import NotFound
from db.models import BackupSet, Options, now
from db.runs import starting
from db.schedules import schedules
from db.sets import (
    catalog,
    expiry,
    lineage,
    restores,
)
from db.sets.as_json import sets_json
from policy import owners, units
from policy.errors import UsageError
from policy.message import M
from policy.paths import as_stored, on_the_drives_host

app = typer.Typer()

SetId = Annotated[str, typer.Argument(help="The set's id, as 'tapeline sets list' shows it.", metavar="SET")]


@app.callback(invoke_without_command=True)
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_sets()


@app.command(name="list")
def list_sets(
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List backup sets, newest first; destroyed ones too."""
    with stack.database() as database, database.transaction() as session:
        listed = sets_json(session, catalog.newest(session, limit))
    if as_json:
        output.print_json(listed)
        return
    output.print_table(
        [
            M("Set"),
            M("Template"),
            M("Type"),
            M("State"),
            M("Tapes"),
            M("Files"),
            M("Size"),
            M("Warnings"),
            M("Finished"),
            M("Kept until"),
        ],
        (
            [
                stored["id"],
                stored["template"],
                stored["type"],
                output.set_state(stored),
                ", ".join(stored["tapes"]),
                stored["files"],
                units.size(stored["bytes"]),
                stored["warnings"],
                output.local(stored["finished_at"]),
                output.local(stored["retention_until"]) or "∞",
            ]
            for stored in listed
        ),
        M("No backup sets yet."),
    )


@app.command(
    short_help="Restore a set, or files and folders of it.",
    epilog=examples(
        "tapeline sets restore 20261123T210000Z-4fc6 --to /restore",
        "tapeline sets restore 20261123T210000Z-4fc6 /data/report.pdf --to /restore --dry-run",
        "tapeline sets restore 20261123T210000Z-4fc6 --match '*.xlsx' --to /restore",
        "tapeline sets restore monthly-full --to /restore",
        "tapeline sets restore monthly-full --at '2026-11-20 18:00' --to /restore",
        "tapeline sets restore monthly-full --to /restore --owner-map names --owner-map alice:bob",
    ),
)
def restore(
    set_id: Annotated[
        str,
        typer.Argument(
            help="The set's id, or the name of a schedule: its newest set, or the one --at names.",
            metavar="SET",
        ),
    ],
    to: Annotated[Path, typer.Option("--to", help="The folder to restore into, on the drive host.")],
    paths: Annotated[
        list[str] | None, typer.Argument(help="Files or folders; all if none is named.", metavar="PATH")
    ] = None,
    match: Annotated[
        list[str] | None,
        typer.Option(help="What matches too: a pattern with * and ?; may be repeated.", metavar="PATTERN"),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="The state at this time, e.g. '2026-11-20 18:00'; a date without time: the end of that day.",
            metavar="TIME",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace existing files.")] = False,
    identity: Annotated[
        Path | None,
        typer.Option(
            help="The file with the secret key, on the drive host, if it is encrypted.", metavar="FILE"
        ),
    ] = None,
    owner_map: Annotated[
        list[str] | None,
        typer.Option(
            help="Whom the files belong to: alice:bob, 1001:1002, @staff:@users for groups, or 'names' for"
            " whoever has the same name on the drive host; may be repeated. Without it: the same numbers.",
            metavar="FROM:TO",
        ),
    ] = None,
    drive: Annotated[str | None, typer.Option(help="The drive that has the tape.")] = None,
    wait: Annotated[bool, typer.Option(help="Follow it until it ends.")] = True,
    dry_run: Annotated[bool, typer.Option(help="Only show what would be restored from which tapes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Restore the state of a set, or files and folders of it, below a folder. For an incremental set that is
    everything as it was then: the sets that it follows are read too, and deleted files are left out. Every
    file is verified; existing files are replaced only with --overwrite."""
    wanted = [as_stored(path).rstrip("/") or "/" for path in paths or []]
    patterns = match or []
    owners.parse(owner_map or ())
    with stack.database() as database:
        with database.transaction() as session:
            set_id = _named(session, set_id, at)
            restores.check_paths(session, set_id, wanted, patterns)
            restore_plan = restores.plan(session, set_id, catalog.wanted(wanted, patterns))
            plan = restore_plan.to_json(set_id)
            rate = restores.pace(session, drive or settings.load().default_drive)
            plan["seconds"] = round(plan["bytes"] / rate) if rate else None
            is_closed = any(stored.encrypted for stored in lineage.chain(session, set_id))
        if dry_run:
            _show_plan(plan, as_json)
            return
        options = Options(
            target=on_the_drives_host(to),
            paths=tuple(wanted),
            patterns=tuple(patterns),
            overwrite=overwrite,
            owner_map=tuple(owner_map or ()),
            identity=on_the_drives_host(identity) if identity else None,
        )
        if is_closed and identity is None:
            raise UsageError(
                M("Set {set} is encrypted.", set=set_id),
                M("Name the file with the secret key: --identity FILE, on the drive's host."),
            )
        run_id = _start(database, set_id, to, options, drive, [tape.id for tape in restore_plan.cartridges])
        if as_json or not wait:
            _say_started(run_id, as_json)
            return
        _show_plan(plan, as_json=False)
        run = watch.follow(run_id)
    ending.leave(run)


def _named(session: Session, name: str, at: str | None) -> str:
    """The set of this id; or the set of a schedule with its sources as they were at a time, or are now."""
    if at is None and session.get(BackupSet, name) is not None:
        return name
    as_of = moment.parse("--at", at) if at else now()
    try:
        schedule = schedules.get(session, name)
    except NotFound as error:
        if at:
            raise
        raise NotFound(
            M("There is no backup set and no schedule '{name}'.", name=name),
            M("'tapeline sets list' and 'tapeline schedule list' list them."),
        ) from error
    stored = lineage.at(session, schedule.template_id, as_of)
    if stored is None:
        raise NotFound(
            M("Schedule '{schedule}' has no backup of {at} or before.", schedule=name, at=at)
            if at
            else M("Schedule '{schedule}' has no whole backup yet.", schedule=name),
            M("'tapeline sets list' shows what there is."),
        )
    return stored.id


def _show_plan(plan: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.print_json(plan)
        return
    output.say(
        M(
            "{files} files, {size}, from {archives} archives of {sets}.",
            files=plan["files"],
            size=units.size(plan["bytes"]),
            archives=plan["archives"],
            sets=", ".join(plan["sets"]) or plan["set"],
        )
    )
    output.say(M("Tapes, in this order: {tapes}.", tapes=", ".join(plan["tapes"]) or "–"))
    if plan["copies"]:
        output.say(
            M(
                "Copies, as the tape itself is out of use or damaged: {tapes}.",
                tapes=", ".join(plan["copies"]),
            )
        )
    if plan["or_tapes"]:
        output.say(M("A tape that may be put in instead: {tapes}.", tapes=", ".join(plan["or_tapes"])))
    if plan["seconds"] is not None:
        words = wiring.words()
        message = M("At the pace of this drive's latest runs: {time}.", time=words.duration(plan["seconds"]))
        output.say(message)


@app.command(
    short_help="Read a set back from tape and compare it.",
    epilog=examples(
        "tapeline sets verify 20261123T210000Z-4fc6",
        "tapeline sets verify 20261123T210000Z-4fc6 --sample 5",
        "tapeline sets verify 20261123T210000Z-4fc6 --tape TP20261103",
    ),
)
def verify(
    set_id: SetId,
    sample: Annotated[
        int, typer.Option(min=1, max=100, help="Read only so many percent of the files, at random.")
    ] = 100,
    tape: Annotated[
        str | None, typer.Option(help="Read the copy on this tape, instead of the set's own tapes.")
    ] = None,
    drive: Annotated[str | None, typer.Option(help="The drive that has the tape.")] = None,
    wait: Annotated[bool, typer.Option(help="Follow it until it ends.")] = True,
    as_json: AsJson = False,
) -> None:
    """Read a set back from its tapes and compare it with the hashes from the time of writing. Names damaged
    files; exit code 1."""
    from tasks import chain  # noqa: PLC0415 - loading Celery takes half a second

    name = drive or settings.load().default_drive
    settings.load().drive(name)
    with stack.database() as database:
        with database.transaction() as session:
            run = starting.start_verify(
                session,
                set_id=set_id,
                drive=name,
                percent=sample,
                requested_by=person.name(),
                tape=tape,
            )
        chain.release(run.drive, brief=True)
        if as_json or not wait:
            _say_started(run.id, as_json)
            return
        ended = watch.follow(run.id)
    ending.leave(ended)


@app.command(
    short_help="Mark the sets that are past retention.",
    epilog=examples(
        "tapeline sets expire --dry-run",
        "tapeline sets expire",
        "tapeline sets expire 20241201T020000Z-4fc6",
    ),
)
def expire(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SET]...", help="Mark these, even before their retention ends."),
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Only show which sets would be marked.")] = False,
    as_json: AsJson = False,
) -> None:
    """Mark the sets that are past retention and that no kept set follows. Nothing is erased: they can be
    restored until a run formats their tape; but no increment follows a marked set.

    A run may format the tape of a set that is past retention with or without this mark. Two kinds of sets are
    kept until they are marked: sets that were imported, or are from before the database was restored (mark
    them when every tape is imported), and sets of no known template, which must be marked by name.
    """
    with stack.database() as database, database.transaction() as session:
        sets = expiry.named(session, names) if names else expiry.expirable(session, now())
        if not dry_run:
            expiry.mark(sets, now())
            session.flush()
        rows = sets_json(session, sets)
        nameless = [] if names else [stored.id for stored in expiry.of_no_template(session)]
    if as_json:
        output.print_json(rows)
        return
    _show_expired(rows)
    if rows and dry_run:
        output.say(M("They would be marked; nothing was changed."))
    if nameless:
        output.say(
            M(
                "Of no known template, and kept until they are named (tapeline sets expire SET): {sets}.",
                sets=", ".join(nameless),
            )
        )


def _show_expired(rows: list[dict[str, Any]]) -> None:
    output.print_table(
        [M("Set"), M("Type"), M("Tapes"), M("Files"), M("Finished"), M("Kept until")],
        (
            [
                stored["id"],
                stored["type"],
                ", ".join(stored["tapes"]),
                stored["files"],
                output.local(stored["finished_at"]),
                output.local(stored["retention_until"]),
            ]
            for stored in rows
        ),
        M("No set is past retention."),
    )


def _start(
    database: Any, set_id: str, to: Path, options: Options, drive: str | None, cartridges: list[int]
) -> int:
    from tasks import chain  # noqa: PLC0415 - loading Celery takes half a second

    if to.exists() and not to.is_dir():
        raise UsageError(M("--to: {path} is not a folder.", path=str(to)), M("Name a folder."))
    name = drive or settings.load().default_drive
    settings.load().drive(name)
    with database.transaction() as session:
        run = starting.start_restore(
            session,
            set_id=set_id,
            drive=name,
            options=options,
            requested_by=person.name(),
            cartridges=cartridges,
        )
    chain.release(run.drive, brief=True)
    return run.id


def _say_started(run_id: int, as_json: bool) -> None:
    if as_json:
        output.print_json({"run": run_id})
    else:
        output.say(M("Run {id} is queued. Follow it: tapeline runs watch {id}", id=run_id))
