"""Every cartridge: what is on it, how full it is, and whether it may be formatted."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tornado.web import authenticated

from dashboard import charts
from dashboard.page import Page
from db import cartridges, permits, schedules, views
from db.models import BackupArchive, Drive, ScheduledTask, TapeCartridge, now
from policy.local_time import zone_named
from policy.permit import Decision

MONTHS = 24
"""How many months the chart has."""


class Tapes(Page):
    """``/tapes``."""

    active = "tapes"

    @authenticated
    async def get(self) -> None:
        found = await self.ask(_found)
        self.page("tapes.html", **found, chart=charts.by_month(found["months"], self.show))


def _found(session: Session) -> dict[str, Any]:
    rows = session.scalars(select(TapeCartridge).order_by(TapeCartridge.formatted_at.desc().nulls_last()))
    inside = _inside(session)
    return {
        "tapes": [{**views.tape_json(session, row), "inside": inside.get(row.id)} for row in rows],
        "asked": [_asked(session, row) for row in schedules.present(session) if row.enabled],
        "months": _months(session),
    }


def _inside(session: Session) -> dict[int, str]:
    """In which drive a cartridge was when somebody looked last."""
    found = {}
    for drive in session.scalars(select(Drive)):
        medium = _tape_in(drive)
        known = cartridges.recognise(session, medium) if medium else None
        if known:
            found[known.id] = drive.name
    return found


def _tape_in(drive: Drive | None) -> cartridges.Medium | None:
    """What was in a drive when somebody looked last, if that was a tape."""
    medium = drive.medium if drive else None
    return medium if medium and medium["state"] != "no_medium" else None


def _asked(session: Session, schedule: ScheduledTask) -> dict[str, Any]:
    """What the permit would say to a run of a schedule now, of the tape that was in its drive last."""
    drive = session.get(Drive, schedule.drive)
    medium, decision = _tape_in(drive), None
    if medium is not None:
        local = now().astimezone(zone_named(schedule.time_zone))
        decision = permits.preview(session, schedule, medium, now_local=local)
    return {
        "schedule": schedule.name,
        "drive": schedule.drive,
        "label": medium.get("label") if medium else None,
        "at": views.iso(drive.medium_at) if drive else None,
        "decision": _answer(decision),
    }


def _answer(decision: Decision | None) -> dict[str, Any] | None:
    if decision is None:
        return None
    return {
        "allowed": decision.allowed,
        "append": decision.append,
        "reasons": [reason.to_json() for reason in decision.reasons],
        "sets_lost": list(decision.sets_lost),
    }


def _months(session: Session) -> list[tuple[str, int]]:
    month = func.to_char(BackupArchive.sealed_at, "YYYY-MM")
    rows = session.execute(
        select(month, func.sum(BackupArchive.bytes)).group_by(month).order_by(month.desc()).limit(MONTHS)
    )
    return [(name, int(count)) for name, count in reversed(list(rows))]
