"""Every drive: what is in it, what it does, and which runs wait for it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session
from tornado.web import authenticated

from celery_app import wiring
from dashboard import verdicts
from dashboard.page import Page
from db import views
from db.models import Drive
from db.runs.lookup import RunFilter
from db.schedules import schedules
from db.states import ACTIVE
from db.tapes import drives
from db.tapes.facts import Inside, LoadedTapes


class Drives(Page):
    """``/drives``."""

    active = "drives"

    @authenticated
    async def get(self) -> None:
        self.page("drives.html", drives=await self.ask(_found))


def _found(session: Session) -> list[dict[str, Any]]:
    loaded = Inside(session, LoadedTapes(session, look=False))
    asking = verdicts.askers(session, schedules.present(session))
    runs = views.runs_json(session, RunFilter(states=ACTIVE))[::-1]
    return [
        {
            **_shown(row, loaded),
            "runs": [run for run in runs if run["drive"] == row.name],
            "answers": _answers(row.name, loaded, asking),
        }
        for row in drives.every(session)
    ]


def _answers(drive: str, loaded: Inside, asking: list[verdicts.ScheduleAsker]) -> list[dict[str, Any]]:
    """What each schedule of a drive would do with the tape in it."""
    if drive not in loaded.tapes:
        return []
    _, facts, _ = loaded.tapes[drive]
    return [{"schedule": each.name, **each.ask(facts)} for each in asking if each.drive == drive]


def _shown(drive: Drive, loaded: Inside) -> dict[str, Any]:
    medium = drive.medium or {}
    known = loaded.rows.get(drive.name)
    return {
        "name": drive.name,
        "driver": drive.driver,
        "host": drive.host,
        "worker": drive.worker,
        "is_silent": wiring.is_silent(drive.last_seen_at),
        "last_seen_at": views.iso(drive.last_seen_at),
        "medium": medium,
        "medium_at": views.iso(drive.medium_at),
        "tape": {"id": known.id, "tape_id": known.tape_id, "state": known.state.value} if known else None,
    }
