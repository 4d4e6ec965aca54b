"""``tapeline format --dry-run``: would a run format the tape in a drive now, why, and what would be lost?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from celery_app import settings, wiring
from cli.host import stack
from cli.render import output
from cli.render.output import AsJson
from policy import units
from policy.errors import UsageError
from policy.message import M
from policy.tapes.facts import described

if TYPE_CHECKING:
    from tasks.preview.dry_run import DryRun


def format_tape(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the permit's decision; change nothing.")
    ] = False,
    schedule: Annotated[
        str | None, typer.Option("--schedule", help="For a run of this schedule.", metavar="NAME")
    ] = None,
    drive: Annotated[
        str | None, typer.Option("--drive", help="The drive, on any host; else the default drive.")
    ] = None,
    erase_label: Annotated[
        str | None,
        typer.Option("--erase-label", help="The old label, if its sets may be lost.", metavar="LABEL"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show whether a run may format the tape in its drive now, why, and what would be lost.

    The drive's worker inspects the tape, on any host. Exit code 0 if a run would format the tape, 4 if not.
    """
    if not dry_run:
        raise UsageError(
            M("A tape is formatted by a run, under its permit."),
            M("Add --dry-run to see what the permit says; 'tapeline schedule run NAME' starts a run."),
        )
    if schedule is None and drive is None:
        drive = settings.load().default_drive
    with stack.database():
        from tasks.preview.dry_run import dry_run as ask  # noqa: PLC0415 - loading Celery takes half a second

        decision = ask(schedule, drive, named_label=erase_label)
    if as_json:
        _print_json(decision)
    else:
        _show(decision)
    raise typer.Exit(0 if decision.allowed else 4)


def _print_json(decision: DryRun) -> None:
    output.print_json(
        {
            "schedule": decision.schedule,
            "drive": decision.drive,
            "allowed": decision.allowed,
            "append": decision.append,
            "denials": [denial.value for denial in decision.denials],
            "reasons": [wiring.words().text(reason) for reason in decision.reasons],
            "medium": decision.medium,
            "sets_lost": decision.sets_lost,
        }
    )


def _show(decision: DryRun) -> None:
    output.say(
        M("In the drive: {tape}", tape=described(decision.medium["state"], decision.medium["label"])),
        style="bold",
    )
    if decision.allowed:
        output.say(M("A run now would be permitted to format it."), style="yellow")
    elif decision.append:
        output.say(M("A run now would not format it: it would append to it."), style="green")
    else:
        output.say(M("A run now would not be permitted to format it."), style="green")
    shown = (decision.why_appended,) if decision.append and decision.why_appended else decision.reasons
    for reason in shown:
        output.console.print(f"  · {wiring.words().text(reason)}", markup=False, soft_wrap=True)
    if len(decision.reasons) > len(shown):
        output.say(M("  · … and {count} more reasons: --json", count=len(decision.reasons) - len(shown)))
    if decision.sets_lost and decision.allowed:
        output.say(M("These sets would be lost:"), style="bold red")
        for stored in decision.sets_lost:
            output.console.print(
                f"  {stored['id']}  {stored['type']}  {units.size(stored['bytes'])}  {stored['finished_at']}",
                markup=False,
            )
