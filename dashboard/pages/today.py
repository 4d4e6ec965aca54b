"""The first page: is all well, what is there to do, what comes next."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session
from tornado.web import authenticated

from celery_app import reading, wiring
from dashboard.page import Page
from db import alerts, views
from db.models import ScheduledTask, now
from db.runs.lookup import RunFilter
from db.schedules import calendar, needs, planner, schedules
from db.states import RunState
from policy.times.calendar import CalendarEntry

AHEAD = timedelta(weeks=5)
"""How far ahead Tapeline knows which tape a run needs."""

MOST = 100
"""How many schedules, alerts and runs under way are listed at most."""

UNDER_WAY = (RunState.RUNNING, RunState.QUEUED)


class Home(Page):
    """``/``, where Flower has its workers page; its script would look for them there."""

    @authenticated
    async def get(self) -> None:
        self.redirect(self.link("today"))


class Today(Page):
    """``/today``."""

    active = "today"

    @authenticated
    async def get(self) -> None:
        self.page("today.html", **await self.ask(_found))


def _found(session: Session) -> dict[str, Any]:
    reading.enter("flower")
    moment = now()
    ahead = calendar.entries(session, moment, moment + AHEAD)
    rows, count = _listed(session)
    newest = views.newest_runs(session, rows)
    return {
        "alerts": alerts.alerts(session, moment, ahead, wiring.is_silent),
        "most": MOST,
        "under_way": views.runs_json(session, RunFilter(states=UNDER_WAY, limit=MOST)),
        "schedules": [shown(row, moment, newest.get(row.name), ahead) for row in rows],
        "schedules_count": count,
    }


def _listed(session: Session) -> tuple[list[ScheduledTask], int]:
    """All schedules by name; of very many, those that run next."""
    rows, count = schedules.page(session, "", number=1, size=MOST)
    return (rows if count <= MOST else schedules.next_first(session, MOST)), count


def shown(
    row: ScheduledTask, moment: datetime, last: dict[str, Any] | None, ahead: list[CalendarEntry]
) -> dict[str, Any]:
    """The next run is the one that needs the tape: a run that will be skipped needs none."""
    entry = next((each for each in ahead if each.planned.schedule == row.name), None)
    return {
        "name": row.name,
        "enabled": row.enabled,
        "drive": row.drive,
        "last_success": views.iso(row.last_success_time),
        "last": last,
        "next": views.iso(entry.opens if entry else planner.next_to_write(row, moment)),
        "needs": needs.needed(entry) if entry else None,
    }
