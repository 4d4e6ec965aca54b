"""``tapeline schedule``: the schedules, and starting one by hand."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from celery_app import settings
from cli import person
from cli.host import stack
from cli.render import ending, output, watch
from cli.render.output import AsJson, examples
from db.models import Options, ScheduledTask, now
from db.runs import transitions
from db.schedules import planner, schedules, sync
from db.states import BackupType, RunState
from notify import states
from policy.message import M, Message
from policy.times.period import ScheduleType

app = typer.Typer(no_args_is_help=True)


@app.command(name="list")
def list_schedules(as_json: AsJson = False) -> None:
    """List the schedules. Exit code 1 if one of them cannot be planned."""
    with stack.database() as database, database.transaction() as session:
        listed = schedules.all_as_json(session)
    if as_json:
        output.print_json(listed)
    else:
        _print_list(listed)
    raise typer.Exit(1 if any(each["problem"] for each in listed) else 0)


def _print_list(listed: list[dict[str, Any]]) -> None:
    output.print_table(
        [
            M("Schedule"),
            M("Enabled"),
            M("Type"),
            M("Drive"),
            M("Tape policy"),
            M("Next run"),
            M("Last success"),
            M("Time zone"),
            M("Sources"),
        ],
        (
            [
                each["name"],
                "✓" if each["enabled"] else "–",
                each["type"],
                each["drive"],
                each["tape_policy"],
                output.on_clock(each["next_run_time"], each["time_zone"]),
                output.on_clock(each["last_success_time"], each["time_zone"]),
                each["time_zone"],
                ", ".join(each["sources"]),
            ]
            for each in listed
        ),
        M("No schedule has been made yet."),
    )
    for each in listed:
        warn(each)


def warn(schedule: dict[str, Any]) -> None:
    """Show in red what keeps a schedule from firing, if anything does."""
    problem = trouble(schedule)
    if problem is not None:
        output.say(problem, style="red")


def trouble(schedule: dict[str, Any]) -> Message | None:
    """What keeps a schedule from firing, or None."""
    if schedule["problem"]:
        return M("{name}: {problem}", name=schedule["name"], problem=schedule["problem"])
    due = schedule["next_run_time"]
    if due is None or now() - datetime.fromisoformat(due) <= planner.PUNCTUAL:
        return None
    return M(
        "{name} was due {at} and has not started: is beat running?",
        name=schedule["name"],
        at=output.on_named_clock(due, schedule["time_zone"]),
    )


ScheduleName = Annotated[str, typer.Argument(help="The schedule's name.", metavar="NAME")]


@app.command(short_help="Show one schedule.", epilog=examples("tapeline schedule show monthly-full"))
def show(name: ScheduleName, as_json: AsJson = False) -> None:
    """Show a schedule in the form of a file, its times and how its runs ended."""
    with stack.database() as database, database.transaction() as session:
        row = schedules.get(session, name)
        shown = {**schedules.as_json(row), "counts": schedules.counts(session, row)}
        fields = dict(sync.shown(row))
    if as_json:
        output.print_json({**shown, "fields": fields})
        return
    output.say(M("Schedule {name}", name=name), style="bold")
    times = ("next_run_time", "last_run_time", "last_success_time", "last_failure_time")
    output.print_facts(
        [
            *((field, written(value)) for field, value in fields.items()),
            *((_TIMES[each], _time(shown[each], row.time_zone)) for each in times),
            *((_COUNTS[each], count) for each, count in shown["counts"].items()),
        ]
    )
    warn(shown)


def _time(iso: str | None, time_zone: str) -> str:
    return output.on_named_clock(iso, time_zone) if iso else "-"


_TIMES = {
    "next_run_time": M("Next run"),
    "last_run_time": M("Last run"),
    "last_success_time": M("Last success"),
    "last_failure_time": M("Last failure"),
}
_COUNTS = {
    "runs": M("Runs"),
    "successes": M("Succeeded"),
    "failures": M("Failed"),
    "skipped": M("Skipped"),
    "missed": M("Missed"),
}


def written(value: Any) -> str:
    """A field's value in the form of a file; a dash if it is left out."""
    return "-" if value is None else output.clean(json.dumps(value, ensure_ascii=False))


@app.command(short_help="Enable a schedule.", epilog=examples("tapeline schedule enable monthly-full"))
def enable(name: ScheduleName) -> None:
    """Enable a schedule: it runs from its next time on."""
    _switch(name, on=True)


@app.command(short_help="Disable a schedule.", epilog=examples("tapeline schedule disable monthly-full"))
def disable(name: ScheduleName) -> None:
    """Disable a schedule: it does not run, not even by hand. A run that is already active continues."""
    _switch(name, on=False)


def _switch(name: str, *, on: bool) -> None:
    with stack.database() as database, database.transaction() as session:
        row = schedules.get(session, name)
        row.enabled = on
        planner.replan(row, now())
        shown = schedules.as_json(row)
    if on:
        output.say(next_run(row))
        warn(shown)
    else:
        output.say(M("{name} is disabled.", name=name))


def next_run(schedule: ScheduledTask) -> Message:
    """When a schedule fires next, in a line."""
    if schedule.next_run_time is None:
        if schedule.enabled and schedule.schedule_type is ScheduleType.ONCE:
            return M("{name}: its time is over; nothing is due any more.", name=schedule.name)
        return M("{name}: nothing is due by itself.", name=schedule.name)
    at = output.on_named_clock(schedule.next_run_time.isoformat(), schedule.time_zone)
    return M("{name}: next run {at}", name=schedule.name, at=at)


@app.command(
    name="next",
    short_help="When schedules run next.",
    epilog=examples("tapeline schedule next", "tapeline schedule next monthly-full -n 12"),
)
def next_times(
    name: Annotated[
        str | None, typer.Argument(help="One schedule; all if none is named.", metavar="NAME")
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=1000, help="How many.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show when schedules run next, by the clock of each and by that of the setting time_zone."""
    with stack.database() as database, database.transaction() as session:
        rows = [schedules.get(session, name)] if name else schedules.present(session)
        upcoming = planner.upcoming(rows, now(), count)
    if as_json:
        output.print_json(
            [
                {"schedule": row.name, "at": at.isoformat(), "local": _on_its_clock(row, at).isoformat()}
                for at, row in upcoming
            ]
        )
        return
    output.print_table(
        [M("Schedule"), M("Its clock"), M("Time zone"), M("{name}", name=settings.load().time_zone)],
        (
            [
                row.name,
                output.on_clock(at.isoformat(), row.time_zone),
                row.time_zone,
                output.local(at.isoformat()),
            ]
            for at, row in upcoming
        ),
        M("Nothing is due by itself."),
    )


def _on_its_clock(schedule: ScheduledTask, moment: datetime) -> datetime:
    return moment.astimezone(ZoneInfo(schedule.time_zone))


@app.command(
    short_help="Run a schedule now.",
    epilog=examples(
        "tapeline schedule run monthly-full",
        "tapeline schedule run monthly-full --type incremental",
        "tapeline schedule run monthly-full --exclude '*.iso' --exclude '/scratch/'",
        "tapeline schedule run monthly-full --erase-label TP20240301",
    ),
)
def run(
    name: ScheduleName,
    kind: Annotated[
        BackupType | None, typer.Option("--type", help="Another type than the template's.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave this out too: a pattern as in .gitignore; may be repeated.", metavar="PATTERN"
        ),
    ] = None,
    erase_label: Annotated[
        str | None,
        typer.Option(
            help="Permit a format of the known tape with this label, even if sets on it are kept.",
            metavar="LABEL",
        ),
    ] = None,
    keep_label: Annotated[
        bool, typer.Option("--keep-label", help="Keep the label of a tape that is formatted.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Follow it until it ends.")] = True,
    as_json: AsJson = False,
) -> None:
    """Run a schedule now. The period check does not apply to a run by hand; the safety rules do.

    To see beforehand what --erase-label would erase: tapeline format --dry-run --erase-label LABEL
    """
    from backup.request import check_patterns  # noqa: PLC0415 - only here

    check_patterns(exclude or [])
    options = Options(
        type=kind, excludes=tuple(exclude or ()), erase_label=erase_label or None, keep_label=keep_label
    )
    with stack.database() as database:
        run_id, state, reason = start(database, name, options)
        if as_json:
            output.print_json({"run": run_id, "state": state.value, "reason": reason})
        else:
            if reason:
                output.console.print(reason, markup=False, soft_wrap=True)
            if wait and state is not RunState.SKIPPED:
                ending.leave(watch.follow(run_id))
            output.say(M("Run {id}: {state}", id=run_id, state=state.value), style=states.style(state))
    if state in {RunState.QUEUED, RunState.RUNNING}:
        return
    raise typer.Exit(states.exit_code(state))


def start(database: Any, name: str, options: Options | None = None) -> tuple[int, RunState, str | None]:
    """Start a run of a schedule by hand; returns its number, its state, and why it was refused, if it was.

    ``options`` override the template. Raises NotFound.
    """
    from tasks import chain  # noqa: PLC0415 - loading Celery takes half a second

    run = chain.start(name, requested_by=person.name(), options=options, brief=True)
    with database.transaction() as session:
        state = transitions.get(session, run.id).state
    return run.id, state, output.message(run.reason) if run.state is RunState.SKIPPED else None
