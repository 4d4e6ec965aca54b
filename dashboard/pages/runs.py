"""The list of runs, with filters and what each wrote."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session
from tornado.web import authenticated

from dashboard import charts, outcome
from dashboard.page import Page, number
from db import views
from db.models import BackupSet, ChainRun, Drive, ScheduledTask
from db.schedules import schedules
from db.states import Kind, RunState
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
        found = await self.ask(lambda session: _found(session, asked))
        shown = found["runs"][:A_PAGE]
        older = shown[-1]["id"] if len(found["runs"]) > A_PAGE else None
        chart = charts.written(found["written"], self.show)
        self.page(
            "runs.html",
            asked=asked,
            **{**found, "runs": shown},
            older=older,
            chart=chart,
            outcome=outcome.of_run,
        )


def _found(session: Session, asked: dict[str, str]) -> dict[str, Any]:
    return {
        "runs": views.runs_json(session, _filtered(asked).limit(A_PAGE + 1)),
        "states": list(RunState),
        "kinds": list(Kind),
        "schedules": [row.name for row in schedules.present(session)],
        "drives": list(session.scalars(select(Drive.name).order_by(Drive.name))),
        "written": _written(session, asked),
    }


def _filtered(asked: dict[str, str]) -> Select[ChainRun]:
    query = select(ChainRun)
    if asked["state"]:
        query = query.where(ChainRun.state == _named(RunState, "state", asked["state"]))
    if asked["kind"]:
        query = query.where(ChainRun.kind == _named(Kind, "kind", asked["kind"]))
    if asked["drive"]:
        query = query.where(ChainRun.drive == asked["drive"])
    if asked["schedule"]:
        query = query.where(ChainRun.schedule.has(ScheduledTask.name == asked["schedule"]))
    if asked["before"]:
        query = query.where(ChainRun.id < number("before", asked["before"]))
    return query


def _named(kind: Any, field: str, value: str) -> Any:
    try:
        return kind(value)
    except ValueError as error:
        raise UsageError(
            M("{field}: there is no '{value}'.", field=field, value=value),
            M("There are: {names}", names=", ".join(kind)),
        ) from error


def _written(session: Session, asked: dict[str, str]) -> list[dict[str, Any]]:
    """The newest sets of these runs, oldest first: how much, and how fast."""
    worked = func.extract("epoch", ChainRun.idle_since - ChainRun.started_at) - ChainRun.idle_seconds
    took = func.least(func.extract("epoch", BackupSet.finished_at - BackupSet.started_at), worked)
    rows = session.execute(
        _filtered({**asked, "before": ""})
        .with_only_columns(ChainRun.id, BackupSet.bytes, took, maintain_column_froms=True)
        .join(BackupSet, BackupSet.run_id == ChainRun.id)
        .where(BackupSet.finished_at.is_not(None))
        .order_by(ChainRun.id.desc())
        .limit(CHARTED)
    ).all()
    return [{"run": run, "bytes": size, "seconds": float(seconds)} for run, size, seconds in reversed(rows)]
