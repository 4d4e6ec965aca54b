"""``tapeline precheck``: would a run of a schedule go ahead now?"""

from __future__ import annotations

from typing import Annotated

import typer

from celery_app import wiring
from cli.host import stack
from cli.render import output
from cli.render.output import AsJson
from policy.finding import Finding, Verdict, exit_code
from policy.message import M

_MARKS = {
    Verdict.OK: ("✓", "green"),
    Verdict.WARNING: ("!", "yellow"),
    Verdict.WAIT: ("✗", "yellow"),
    Verdict.REFUSED: ("✗", "red"),
}


def precheck(
    name: Annotated[str, typer.Argument(help="The schedule's name.", metavar="NAME")],
    manual: Annotated[
        bool, typer.Option("--manual", help="As a run by hand, which the period check does not hold for.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run every precheck of a schedule now and say what each finds. Changes nothing.

    The tape, the sources and the clock are looked at by the drive's worker, wherever it is. Exit code 0 only
    if a run would go ahead, 4 if it needs another tape, 1 otherwise.
    """
    with stack.database():
        from tasks.preview.prechecks import findings  # noqa: PLC0415 - loading Celery takes half a second

        found = findings(name, by_hand=manual)
    code = exit_code(found)
    if as_json:
        output.print_json(
            {"schedule": name, "would_run": code == 0, "findings": [finding.to_json() for finding in found]}
        )
    else:
        for finding in found:
            _print(finding)
    raise typer.Exit(code)


_NAMES = {
    "schedule": M("schedule"),
    "period": M("period"),
    "running": M("running"),
    "template": M("template"),
    "clock": M("clock"),
    "sources": M("sources"),
    "drive": M("drive"),
    "tape": M("tape"),
    "erased": M("erased"),
    "room": M("room"),
}
"""Each check's name, which scripts know by its English one."""


def _print(finding: Finding) -> None:
    mark, style = _MARKS[finding.verdict]
    text = wiring.words().joined(finding.detail, finding.remedy)
    output.print_finding(mark, _NAMES[finding.check], output.widest(_NAMES.values()), text, style)
