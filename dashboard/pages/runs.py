"""The list of runs, with filters and what each wrote."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session
from tornado.web import authenticated

from dashboard import charts, outcome
from dashboard.page import Page, number
from db import views
from db.runs import times
from db.runs.lookup import RunFilter
from db.schedules import schedules
from db.states import Kind, RunState
from db.tapes import drives
from policy.errors import UsageError
from policy.message import M

A_PAGE = 50
CHARTED = 30
"""Runs in the chart."""


class Runs(Page):
    """``/runs?state=&schedule=&drive=&kind=&before=``."""

    active = "runs"

    @authenticated
    async def get(self) -> None:
        asked = {
            name: self.get_query_argument(name, "")
            for name in ("state", "schedule", "drive", "kind", "before")
        }
        facts = await self.ask(lambda session: _found(session, asked))
        shown = facts["runs"][:A_PAGE]
        older = shown[-1]["id"] if len(facts["runs"]) > A_PAGE else None
        chart = charts.written(facts["written"], self.show)
        self.page(
            "runs.html",
            asked=asked,
            **{**facts, "runs": shown},
            older=older,
            chart=chart,
            outcome=outcome.of_run,
        )


def _found(session: Session, asked: dict[str, str]) -> dict[str, Any]:
    wanted = _wanted(asked)
    return {
        "runs": views.runs_json(session, replace(wanted, limit=A_PAGE + 1)),
        "states": list(RunState),
        "kinds": list(Kind),
        "schedules": [row.name for row in schedules.present(session)],
        "drives": drives.names(session),
        "written": times.written(session, replace(wanted, before=None), CHARTED),
    }


def _wanted(asked: dict[str, str]) -> RunFilter:
    return RunFilter(
        states=[_named(RunState, "state", asked["state"])] if asked["state"] else None,
        kind=_named(Kind, "kind", asked["kind"]) if asked["kind"] else None,
        drive=asked["drive"] or None,
        schedule=asked["schedule"] or None,
        before=number("before", asked["before"]) if asked["before"] else None,
    )


def _named(kind: Any, field: str, value: str) -> Any:
    try:
        return kind(value)
    except ValueError as error:
        raise UsageError(
            M("{field}: there is no '{value}'.", field=field, value=value),
            M("There are: {names}", names=", ".join(kind)),
        ) from error
