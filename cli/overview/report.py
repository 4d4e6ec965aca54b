"""``tapeline report``: what is protected since when, what went wrong, and which tapes are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from celery_app import settings, wiring
from cli.host import stack
from cli.render import output
from cli.render.output import AsJson, clean
from db.models import now
from db.report import gather
from notify.report import csv
from notify.report.html import html
from notify.report.lines import Report
from policy.message import M
from policy.times import report
from policy.times.report import Every


def show_report(
    every: Annotated[
        Every, typer.Option(help="What happened in the last seven or thirty days.")
    ] = Every.MONTH,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write it as a page with charts.")
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write a line of figures for each schedule.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is protected since when, what failed, which tapes are needed and what wears.

    Channels get the same once a month or once a week (their setting report), also when all is well. Exit code
    0, even if something needs somebody: 'tapeline status' tells that to scripts.
    """
    with stack.database() as database, database.transaction() as session:
        moment = now()
        figures = gather.report(session, every, report.up_to(every, moment), moment, wiring.is_silent)
    made = Report(figures, wiring.words(), settings.load().time_zone)
    if html_file is not None:
        html_file.write_text(html(made), encoding="utf-8")
    if csv_file is not None:
        csv_file.write_text(csv.text(figures), encoding="utf-8", newline="")
    if as_json:
        output.print_json(figures)
        return
    for file in filter(None, (html_file, csv_file)):
        output.say(M("Written: {file}", file=str(file)))
    if html_file or csv_file:
        return
    _print(made)


def _print(made: Report) -> None:
    output.console.print(clean(made.title), style="bold", markup=False, soft_wrap=True)
    for chapter in made.chapters:
        output.console.print(f"\n{chapter.title}", style="bold", markup=False, soft_wrap=True)
        for line in chapter.lines:
            output.console.print(f"  {clean(line)}", markup=False, soft_wrap=True)
