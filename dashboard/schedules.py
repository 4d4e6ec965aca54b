"""Every schedule: its next times, how it went last, a switch; and the calendar of the coming weeks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from tornado.web import authenticated

from dashboard.page import Page
from db import calendar, planner, schedules
from db.models import ChainRun, ScheduledTask, now
from policy.calendar import Entry
from policy.local_time import zone_named

WEEKS = 5
TIMES = 3
"""Next times of each schedule."""


class Schedules(Page):
    """``/schedules``."""

    active = "schedules"

    @authenticated
    async def get(self) -> None:
        self.page("schedules.html", **await self.ask(_found), weeks=WEEKS)


def _found(session: Session) -> dict[str, Any]:
    moment = now()
    ahead = calendar.entries(session, moment, moment + timedelta(weeks=WEEKS))
    return {
        "schedules": [_shown(session, row) for row in schedules.present(session)],
        "calendar": [_day(entry) for entry in ahead],
    }


def _shown(session: Session, row: ScheduledTask) -> dict[str, Any]:
    last = session.scalar(
        select(ChainRun).where(ChainRun.schedule_id == row.id).order_by(ChainRun.id.desc()).limit(1)
    )
    return {
        **schedules.as_json(row),
        "next": [_local(at, row.time_zone) for at, _ in planner.upcoming([row], now(), TIMES)],
        "last": {"id": last.id, "state": last.state.value} if last else None,
    }


def _day(entry: Entry) -> dict[str, Any]:
    return {
        "at": _local(entry.planned.at, entry.planned.time_zone),
        "schedule": entry.planned.schedule,
        "drive": entry.planned.drive,
        "label": entry.label,
        "tape": entry.tape_id,
        "insert": entry.insert,
        "format": entry.format,
        "erases": entry.erases,
        "used_after": entry.used_after,
        "capacity": entry.capacity,
        "fits": entry.fits,
    }


def _local(moment: Any, time_zone: str) -> str:
    return f"{moment.astimezone(zone_named(time_zone)):%Y-%m-%d %H:%M}"
