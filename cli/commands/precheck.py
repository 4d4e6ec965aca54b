"""``tapeline precheck``: would the next run of a schedule go ahead, or one that started now?"""

from __future__ import annotations

from typing import Annotated

import typer

from celery_app import wiring
from cli.host import stack
from cli.render import output
from cli.render.output import AsJson
from policy.finding import Finding, PrecheckVerdict, exit_code
from policy.message import M

_MARKS = {
    PrecheckVerdict.OK: ("✓", "green"),
    PrecheckVerdict.WARNING: ("!", "yellow"),
    PrecheckVerdict.WAIT: ("✗", "yellow"),
    PrecheckVerdict.REFUSED: ("✗", "red"),
}


def precheck(
    name: Annotated[str, typer.Argument(help="The schedule's name.", metavar="NAME")],
    manual: Annotated[
        bool,
        typer.Option("--manual", help="For a run by hand now, which is exempt from the period check."),
    ] = False,
    at_once: Annotated[
        bool, typer.Option("--now", help="For an automatic run now, not for the next due one.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show whether the next run of a schedule will go ahead: every precheck as of the time when it is due,
    with what is in the drive now. Changes nothing.

    The drive's worker checks the tape, the sources and the clock, on any host. Exit code 0 only if the run
    would go ahead, 4 if it needs another tape or its sources accepted, 1 otherwise.
    """
    with stack.database():
        from tasks.preview.prechecks import WhichRun, findings  # noqa: PLC0415 - loading Celery takes half a second

        when = WhichRun.BY_HAND if manual else WhichRun.NOW if at_once else WhichRun.DUE
        judged = findings(name, when)
    checks = judged.findings
    code = exit_code(checks)
    if as_json:
        output.print_json(
            {
                "schedule": name,
                "as_of": judged.as_of.isoformat(),
                "would_run": code == 0,
                "findings": [finding.to_json() for finding in checks],
            }
        )
    else:
        for finding in checks:
            _print(finding)
    raise typer.Exit(code)


_NAMES = {
    "schedule": M("schedule"),
    "period": M("period"),
    "running": M("running"),
    "template": M("template"),
    "clock": M("clock"),
    "sources": M("sources"),
    "library": M("library"),
    "commands": M("commands"),
    "snapshots": M("snapshots"),
    "drive": M("drive"),
    "tape": M("tape"),
    "erased": M("erased"),
    "room": M("room"),
}
"""Each check's name; scripts know it by its English one."""


def _print(finding: Finding) -> None:
    mark, style = _MARKS[finding.verdict]
    text = wiring.words().joined(finding.detail, finding.remedy)
    output.print_finding(mark, _NAMES[finding.check], output.widest(_NAMES.values()), text, style)
