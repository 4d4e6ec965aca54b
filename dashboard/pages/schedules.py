"""Every schedule: its next times, its last result, a switch; and the calendar of the coming weeks."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy.orm import Session
from tornado.web import authenticated

from celery_app import settings
from dashboard.page import Page, number
from db import views
from db.models import ScheduledTask, now
from db.schedules import calendar, needs, planner, schedules
from policy.times.calendar import CalendarEntry
from policy.times.local_time import zone_named

A_PAGE = 50
WEEKS = 5
TIMES = 3
"""Next times of each schedule at which it writes."""


class Schedules(Page):
    """``/schedules?name=&page=``."""

    active = "schedules"

    @authenticated
    async def get(self) -> None:
        asked = {name: self.get_query_argument(name, "") for name in ("name", "page")}
        facts = await self.ask(lambda session: _found(session, asked))
        self.page("schedules.html", asked=asked, **facts, horizon=WEEKS)


def _found(session: Session, asked: dict[str, str]) -> dict[str, Any]:
    moment = now()
    page = number("page", asked["page"] or "1")
    rows, count = schedules.page(session, asked["name"], number=page, size=A_PAGE)
    ahead = list(calendar.entries(session, moment, moment + timedelta(weeks=WEEKS)))
    newest = views.newest_runs(session, rows)
    return {
        "schedules": [_shown(row, moment, newest.get(row.name)) for row in rows],
        "count": count,
        "number": page,
        "pages": max(-(-count // A_PAGE), 1),
        "weeks": _weeks(ahead, moment.astimezone(settings.load().zone).date()),
        "changes": _changes(ahead),
        "brought": _brought(ahead),
        "short": needs.short_nights(ahead),
    }


def _shown(row: ScheduledTask, moment: datetime, last: dict[str, Any] | None) -> dict[str, Any]:
    owed = planner.owed_since(row, moment)
    return {
        **schedules.as_json(row),
        "window": row.backup_window,
        "run_after": row.run_after,
        "rate": row.rate,
        "wait_for_tape_seconds": row.wait_for_tape_seconds,
        "retention_days": row.template.retention_days,
        "keep_sets": row.template.keep_sets,
        "excludes": row.template.excludes,
        "next": [_local(at, row.time_zone) for at in islice(planner.to_write(row, moment), TIMES)],
        "owed": planner.local(row, owed) if owed and moment - owed > planner.PUNCTUAL else None,
        "last": last,
    }


def _weeks(ahead: list[CalendarEntry], today: date) -> list[list[dict[str, Any]]]:
    """The coming weeks, each from Monday to Sunday, with what runs on each day of the page's clock."""
    monday = today - timedelta(days=today.weekday())
    of_day: dict[date, list[dict[str, Any]]] = defaultdict(list)
    for entry in ahead:
        local = entry.opens.astimezone(settings.load().zone)
        of_day[local.date()].append({"time": f"{local:%H:%M}", **_change(entry)})
    days = [monday + timedelta(days=number) for number in range(7 * WEEKS)]
    shown = [
        {"date": day, "is_past": day < today, "is_today": day == today, "runs": of_day[day]} for day in days
    ]
    return [shown[first : first + 7] for first in range(0, len(shown), 7)]


def _changes(ahead: list[CalendarEntry]) -> list[dict[str, Any]]:
    """The runs that need preparation; what is the same for all of a schedule is shown once."""
    changes: list[dict[str, Any]] = []
    last: dict[str, Any] = {}
    for entry in ahead:
        change = _change(entry)
        same = (change["needs"], change["erases"], change["fits"])
        if last.get(entry.planned.schedule) != same and (entry.needs_hands or entry.erases):
            changes.append(change)
        last[entry.planned.schedule] = same
    return changes


def _brought(ahead: list[CalendarEntry]) -> list[dict[str, Any]]:
    """The runs whose tape comes by itself from a library."""
    return [_change(entry) for entry in ahead if entry.slot is not None]


def _change(entry: CalendarEntry) -> dict[str, Any]:
    return {
        "at": views.iso(entry.opens),
        "schedule": entry.planned.schedule,
        "drive": entry.planned.drive,
        "needs": needs.needed(entry),
        "insert": entry.insert,
        "needs_hands": entry.needs_hands,
        "slot": entry.slot,
        "label": entry.label,
        "format": entry.format,
        "erases": entry.erases,
        "used_after": entry.used_after,
        "capacity": entry.capacity,
        "fits": entry.fits,
        "window": entry.planned.window.text if entry.planned.window else None,
        "is_short": entry.nights > 1,
    }


def _local(moment: datetime, time_zone: str) -> str:
    """A moment on a schedule's own clock."""
    return f"{moment.astimezone(zone_named(time_zone)):%Y-%m-%d %H:%M}"
