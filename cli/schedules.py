"""``tapeline schedule``: what is scheduled, and starting it by hand."""

from __future__ import annotations

import getpass
from typing import Annotated, Any

import typer
from sqlalchemy import select

from backup.excludes import check_patterns
from cli import output, stack, watch
from cli.output import AsJson, examples
from db import runs, schedules
from db.models import ScheduledTask, now
from db.states import BackupType, RunState, Trigger
from policy.message import M

app = typer.Typer(help="Schedules: what runs when, and running it now.", no_args_is_help=True)


@app.command(name="list")
def list_schedules(as_json: AsJson = False) -> None:
    """List the schedules."""
    with stack.database() as database, database.transaction() as session:
        rows = session.scalars(select(ScheduledTask).order_by(ScheduledTask.name))
        found = [schedules.as_json(row) for row in rows]
    if as_json:
        output.print_json(found)
        return
    output.print_table(
        [
            M("Schedule"),
            M("Enabled"),
            M("Type"),
            M("Drive"),
            M("Tape policy"),
            M("Sources"),
            M("Last success"),
        ],
        (
            [
                each["name"],
                "✓" if each["enabled"] else "–",
                each["type"],
                each["drive"],
                each["tape_policy"],
                ", ".join(each["sources"]),
                output.local(each["last_success_time"]),
            ]
            for each in found
        ),
        M("No schedule has been made yet."),
    )


@app.command(
    short_help="Run a schedule now.",
    epilog=examples(
        "tapeline schedule run monthly-full",
        "tapeline schedule run monthly-full --type incremental",
        "tapeline schedule run monthly-full --exclude '*.iso' --exclude '/scratch/'",
    ),
)
def run(
    name: Annotated[str, typer.Argument(help="The schedule's name.", metavar="NAME")],
    kind: Annotated[
        BackupType | None, typer.Option("--type", help="Another type than the template's.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave this out too: a pattern as in .gitignore; may be repeated.", metavar="PATTERN"
        ),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow it until it ends.")] = True,
    as_json: AsJson = False,
) -> None:
    """Run a schedule now. The period check does not hold for a run by hand; the safety rules do."""
    check_patterns(exclude or [])
    options: dict[str, Any] = {"excludes": exclude} if exclude else {}
    if kind:
        options["type"] = kind.value
    with stack.database() as database:
        run_id, state = start(database, name, options)
        if as_json:
            output.print_json({"run": run_id, "state": state.value})
        elif wait and state is not RunState.SKIPPED:
            state = RunState(watch.follow(run_id)["state"])
            output.say(M("Run {id}: {state}", id=run_id, state=state.value), style=output.STYLES.get(state))
        else:
            output.say(M("Run {id}: {state}", id=run_id, state=state.value))
    if state in {RunState.QUEUED, RunState.RUNNING}:
        return
    raise typer.Exit(output.ENDING_CODES.get(state, 1))


def start(database: Any, name: str, options: dict[str, Any] | None = None) -> tuple[int, RunState]:
    """Start a run of a schedule by hand; returns its number and state. ``options`` override the template.

    Raises NotFound.
    """
    from tasks import chain  # noqa: PLC0415 - loading Celery takes half a second

    with database.transaction() as session:
        schedule = schedules.get(session, name)
        run = runs.start(
            session,
            schedule,
            due_at=now(),
            trigger=Trigger.MANUAL,
            requested_by=getpass.getuser(),
            options=options,
        )
        assert run is not None, "this moment was never due before"
    if run.state is RunState.SKIPPED:
        chain.ask("tapeline.deliver", brief=True, run_id=run.id)
        output.console.print(output.message(run.reason), markup=False, soft_wrap=True)
    else:
        chain.release(run.drive, brief=True)
    with database.transaction() as session:
        return run.id, runs.get(session, run.id).state
