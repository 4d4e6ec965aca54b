"""Every drive: what is in it, what it does, and which runs wait for it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session
from tornado.web import authenticated

from celery_app import wiring
from dashboard import inside, verdicts
from dashboard.page import Page
from db import views
from db.models import Drive
from db.runs.lookup import RunFilter
from db.schedules import schedules
from db.states import ACTIVE
from db.tapes import cartridges, drives


class Drives(Page):
    """``/drives``."""

    active = "drives"

    @authenticated
    async def get(self) -> None:
        self.page("drives.html", drives=await self.ask(_found))


def _found(session: Session) -> list[dict[str, Any]]:
    loaded = inside.by_drive(session)
    asking = verdicts.askers(session, schedules.present(session))
    runs = views.runs_json(session, RunFilter(states=ACTIVE))[::-1]
    return [
        {
            **_shown(session, row),
            "runs": [run for run in runs if run["drive"] == row.name],
            "answers": _answers(row.name, loaded.get(row.name), asking),
        }
        for row in drives.every(session)
    ]


def _answers(drive: str, loaded: inside.Inside | None, asking: list[verdicts.Asker]) -> list[dict[str, Any]]:
    """What each schedule of a drive would do with the tape in it."""
    if loaded is None:
        return []
    return [{"schedule": each.name, **each.ask(loaded.facts)} for each in asking if each.drive == drive]


def _shown(session: Session, drive: Drive) -> dict[str, Any]:
    medium = drive.medium or {}
    known = cartridges.recognise(session, medium) if medium else None
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
