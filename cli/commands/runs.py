"""``tapeline runs``: list, story, watch, retry, cancel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from celery_app import wiring
from cli import person
from cli.host import stack
from cli.render import (
    ending,
    output,
    story,
    watch,
)
from cli.render.output import AsJson, examples
from db import failures, history, views
from db.engine import Database
from db.errors import NotAllowed
from db.failures import Failure
from db.runs import transitions as stored_runs
from db.runs.lookup import RunFilter
from db.states import RunState
from policy.errors import TapelineError, UsageError
from policy.guard import Doubt
from policy.message import M
from policy.paths import on_the_drives_host

app = typer.Typer(
    epilog=examples("tapeline runs", "tapeline runs --state FAILED --json", "tapeline runs show 12"),
)

RunId = Annotated[int, typer.Argument(help="The run's number, as 'tapeline runs' lists it.", metavar="RUN")]


@app.callback(invoke_without_command=True)
def list_runs(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="Only runs in this state, e.g. FAILED.")] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first; or name a command."""
    if context.invoked_subcommand:
        return
    wanted = _state(state) if state else None
    listed = RunFilter(states=[wanted] if wanted else None, limit=limit)
    with stack.database() as database, database.transaction() as session:
        runs = views.runs_json(session, listed)
    if as_json:
        output.print_json(runs)
        return
    output.print_table(
        [M("Run"), M("Schedule"), M("Kind"), M("State"), M("Started"), M("Took"), M("Reason")],
        (
            [
                run["id"],
                run["schedule"],
                run["kind"],
                Text(ending.state(run), ending.style(run) or ""),
                output.local(run["started_at"]),
                None if run["seconds"] is None else wiring.words().duration(run["seconds"]),
                output.message(run["reason"]),
            ]
            for run in runs
        ),
        M("No run is {state}.", state=wanted.value)
        if wanted
        else M("No runs yet. 'tapeline run' tries one on a virtual tape."),
    )


def _took(step: dict[str, Any]) -> str | None:
    if not step["started_at"] or not step["finished_at"]:
        return None
    return wiring.words().duration(views.seconds_between(step["started_at"], step["finished_at"]))


def _state(name: str) -> RunState:
    try:
        return RunState(name.upper())
    except ValueError as error:
        raise UsageError(
            M("--state: there is no state '{name}'.", name=name),
            M("States: {states}.", states=", ".join(RunState)),
        ) from error


@app.command(short_help="Show the story of a run.", epilog=examples("tapeline runs show 12"))
def show(run_id: RunId, as_json: AsJson = False) -> None:
    """Show the story of a run: its steps, what happened in each, its format permits."""
    with stack.database() as database, database.transaction() as session:
        stored = stored_runs.get(session, run_id)
        run = views.whole_run_json(session, stored)
        run["earlier_parts"] = views.parts_json(stored)[:-1]
        run["events"] = views.events_json(session, run_id)
        run["permits"] = views.permits_json(session, run_id)
    if as_json:
        output.print_json(run)
    else:
        _print_story(run)


def _print_story(run: dict[str, Any]) -> None:
    output.say(
        M(
            "Run {id} ({kind}, schedule {schedule}, drive {drive}): {state}",
            id=run["id"],
            kind=run["kind"],
            schedule=run["schedule"] or "-",
            drive=run["drive"],
            state=ending.state(run),
        ),
        style="bold",
    )
    if run["reason"]:
        output.console.print(output.message(run["reason"]), markup=False, soft_wrap=True)
    ending.say_remedy(run)
    for doubt in run["doubts"] if run["state"] == RunState.HELD else []:
        output.say(Doubt.from_json(doubt).in_words, style="yellow")
    if run["shortened_at"]:
        output.say(history.in_words(output.local(run["shortened_at"])))
        return
    for part in run["earlier_parts"]:
        output.say(M("Part {part}", part=part["part"]))
        _print_steps(part["steps"])
    if run["earlier_parts"]:
        output.say(M("Part {part}", part=run["part"]))
    _print_steps(run["steps"])
    output.console.print()
    for event in run["events"]:
        icon, style = story.ICONS[event["level"]]
        at = (output.local(event["at"]) or "")[-8:]
        line = f"{at} {icon} {event['step'] or '':<13} {output.message(event['message'])}"
        output.console.print(line, markup=False, soft_wrap=True, style=style)
    ending.say_way_on(run)


def _print_steps(steps: list[dict[str, Any]]) -> None:
    output.print_table(
        [M("Step"), M("State"), M("Attempts"), M("Started"), M("Took"), M("Worker")],
        (
            [
                step["name"],
                ending.step_state(step),
                step["attempts"],
                output.local(step["started_at"]),
                _took(step),
                step["worker"],
            ]
            for step in steps
        ),
        M("The run was decided without a single step."),
    )


@app.command(name="watch", epilog=examples("tapeline runs watch 12"))
def watch_run(run_id: RunId) -> None:
    """Follow a run until it ends, also while it waits for a tape. The exit code is that of the run."""
    with stack.database():
        run = watch.follow(run_id, to_its_end=True)
    ending.leave(run)


@app.command(
    short_help="Continue a failed run.",
    epilog=examples(
        "tapeline runs retry 12",
        "tapeline runs retry 12 --from precheck --why 'the right tape is in'",
        "tapeline runs retry 12 --identity /root/other-key.txt",
        "tapeline runs retry --all-failed",
    ),
)
def retry(
    run_id: Annotated[int | None, typer.Argument(help="The failed run.", metavar="RUN")] = None,
    from_step: Annotated[
        str | None, typer.Option("--from", help="An earlier step to continue from.", metavar="STEP")
    ] = None,
    why: Annotated[str | None, typer.Option(help="For the run's story.")] = None,
    identity: Annotated[
        Path | None,
        typer.Option(help="For a restore: another file with a secret key, on its host.", metavar="FILE"),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="For a restore: another folder, on its host.", metavar="FOLDER"),
    ] = None,
    all_failed: Annotated[
        bool,
        typer.Option(
            "--all-failed", help="The newest failed run of each schedule; older ones are named and skipped."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Continue a failed or cancelled run from the step at which it stopped, or from an earlier one. A held
    run checks its sources once more.

    A finished format is not repeated. A restore looks for the files that it has restored: missing ones are
    restored again.
    """
    if (run_id is None) == (not all_failed):
        raise UsageError(
            M("RUN: name one run, or give --all-failed."), M("'tapeline runs --state FAILED' lists them.")
        )
    other_key = on_the_drives_host(identity) if identity else None
    other_folder = on_the_drives_host(to) if to else None
    if (identity or to) and all_failed:
        raise UsageError(
            M("--identity and --to are for one restore."), M("Name its run instead of --all-failed.")
        )
    with stack.database() as database:
        from tasks import chain  # noqa: PLC0415 - loading Celery takes half a second
        from tasks.requests import retry as task  # noqa: PLC0415 - as above

        ids, left = ([run_id], []) if run_id is not None else _failed(database)
        step = task.step_named(from_step)
        who = person.name()
        done: list[dict[str, Any]] = []
        refused: list[TapelineError] = []
        for failed_id in ids:
            try:
                run = chain.retry(
                    failed_id,
                    step,
                    requested_by=who,
                    why=why,
                    identity=other_key,
                    target=other_folder,
                    brief=True,
                )
            except NotAllowed as error:
                if run_id is not None:
                    raise
                refused.append(error)
                continue
            done.append({"id": run.id, "state": run.state.value})
    if as_json:
        output.print_json(
            {
                "retried": done,
                "left": [_left_json(failure) for failure in left],
                "refused": [str(error) for error in refused],
            }
        )
    else:
        _say_retried(done, left, refused)
    raise typer.Exit(1 if refused else 0)


def _failed(database: Database) -> tuple[list[int], list[Failure]]:
    """The newest failed run of each schedule, to be retried; and those that a later run has superseded."""
    with database.transaction() as session:
        standing = failures.standing(session)
    to_retry = [failure.run_id for failure in standing if failure.superseded_by is None]
    return to_retry, [failure for failure in standing if failure.superseded_by is not None]


def _left_json(failure: Failure) -> dict[str, Any]:
    return {
        "id": failure.run_id,
        "superseded_by": failure.superseded_by,
        "reason": str(failure.why_left()),
    }


def _say_retried(done: list[dict[str, Any]], left: list[Failure], refused: list[TapelineError]) -> None:
    for run in done:
        output.say(M("Run {id} is queued again. Follow it: tapeline runs watch {id}", id=run["id"]))
    for failure in left:
        output.say(failure.why_left())
    for error in refused:
        output.say(error.message, style="yellow")
    if not done and not left and not refused:
        output.say(M("No run has failed."))


@app.command(
    short_help="Accept the sources of a held run.",
    epilog=examples("tapeline runs accept 12 --why 'the old projects were archived'"),
)
def accept(
    run_id: RunId,
    why: Annotated[str, typer.Option(help="It is kept with the backup set.", metavar="TEXT")],
    as_json: AsJson = False,
) -> None:
    """Let a HELD run continue: the sources are right as they are, and the norm from now on.

    It has written nothing so far. Other doubts than the present ones hold it again. If the sources are not
    right, repair them and retry the run: it checks them once more.
    """
    reason = person.reason(why)
    with stack.database():
        from tasks import chain  # noqa: PLC0415 - loading Celery takes half a second

        run = chain.accept(run_id, requested_by=person.name(), why=reason, brief=True)
    if as_json:
        output.print_json({"id": run.id, "state": run.state.value})
    else:
        output.say(M("Run {id} is queued again. Follow it: tapeline runs watch {id}", id=run.id))


@app.command(
    short_help="Dismiss a failed run.",
    epilog=examples("tapeline runs dismiss 12 --why 'restored from the snapshot instead'"),
)
def dismiss(
    run_id: RunId,
    why: Annotated[str, typer.Option(help="For the run's story.", metavar="REASON")],
    as_json: AsJson = False,
) -> None:
    """Dismiss a failed run: it needs no more attention, stays FAILED, and 'retry --all-failed' skips it. A
    later success of the same work does that automatically."""
    reason = person.reason(why)
    with stack.database() as database, database.transaction() as session:
        run = failures.dismiss(session, run_id, requested_by=person.name(), why=reason)
        state = run.state.value
    if as_json:
        output.print_json({"id": run_id, "state": state})
    else:
        output.say(M("Run {id} is dismissed.", id=run_id))


@app.command(short_help="Cancel a run at a safe point.", epilog=examples("tapeline runs cancel 12"))
def cancel(run_id: RunId, as_json: AsJson = False) -> None:
    """Cancel a run: at once if nothing of it runs, else at its next safe point. The tape stays consistent."""
    with stack.database():
        from tasks import chain  # noqa: PLC0415 - loading Celery takes half a second

        run = chain.cancel(run_id, requested_by=person.name(), brief=True)
    if as_json:
        output.print_json({"id": run.id, "state": run.state.value})
    elif run.state is RunState.CANCELLED:
        output.say(M("Run {id} is cancelled.", id=run.id))
    else:
        output.say(M("Run {id} stops at its next safe point. Follow it: tapeline runs watch {id}", id=run.id))
