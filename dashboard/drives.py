"""Every drive: what is in it, what it does, and what waits for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from tornado.web import authenticated

from dashboard.page import Page
from db import drives, views
from db.models import ChainRun, Drive
from db.states import ACTIVE

ALIVE_WITHIN = timedelta(seconds=60)
"""The worker of a drive says more often than that that it lives."""


class Drives(Page):
    """``/drives``."""

    active = "drives"

    @authenticated
    async def get(self) -> None:
        self.page("drives.html", drives=await self.ask(_found))


def _found(session: Session) -> list[dict[str, Any]]:
    return [_shown(session, row) for row in session.scalars(select(Drive).order_by(Drive.name))]


def _shown(session: Session, drive: Drive) -> dict[str, Any]:
    active = (
        select(ChainRun).where(ChainRun.drive == drive.name, ChainRun.state.in_(ACTIVE)).order_by(ChainRun.id)
    )
    return {
        "name": drive.name,
        "driver": drive.driver,
        "host": drive.host,
        "worker": drive.worker,
        "is_alive": drives.is_alive(session, drive.name, ALIVE_WITHIN),
        "last_seen_at": views.iso(drive.last_seen_at),
        "medium": drive.medium or {},
        "medium_at": views.iso(drive.medium_at),
        "runs": [views.run_json(run) for run in session.scalars(active)],
    }
