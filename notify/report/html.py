"""The report as HTML for a mail: tables and bars only, nothing from elsewhere, as mail programs show it."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from notify.report.lines import Report
from policy.message import M

TALL = 48
"""The height of the largest bar, in pixels."""


def html(report: Report) -> str:
    """The whole document."""
    environment = Environment(
        loader=PackageLoader("notify.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    charts = [_chart(report, each) for each in report.data["schedules"] if len(each["sizes"]) > 1]
    return environment.get_template("report.html.j2").render(
        title=report.title,
        chapters=report.chapters,
        charts=charts,
        charts_title=report.words.text(M("Size of the last full backups")),
        is_well=not report.data["needs_somebody"],
        language=report.words.language.replace("_", "-"),
        made=report.words.text(
            M("Made {at} ({zone})", at=report.at(report.data["made_at"]), zone=report.time_zone)
        ),
    )


def _chart(report: Report, schedule: dict[str, Any]) -> dict[str, Any]:
    """Bars for the sizes of the last full sets, oldest first."""
    top = max(*schedule["sizes"], 1)
    return {
        "name": schedule["schedule"],
        "newest": report.words.size(schedule["sizes"][-1]),
        "bars": [
            {"height": max(round(TALL * size / top), 1), "text": report.words.size(size)}
            for size in schedule["sizes"]
        ],
        "tall": TALL,
    }
