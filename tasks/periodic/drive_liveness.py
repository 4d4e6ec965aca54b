"""``tapeline.watch``: reports once that a drive's worker fell silent, and once that it is back."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from celery_app import settings, wiring
from celery_app.celery import app
from db import events
from db.admin import server
from db.models import Drive, now
from db.schedules import planner
from db.tapes import drives
from notify.events import Event
from notify.facts import Facts
from policy.message import M, Message
from tasks import chain


@app.task(name="tapeline.watch", acks_late=False, ignore_result=True)
def watch() -> list[str]:
    """Every minute from beat. Returns the drives that were reported."""
    with wiring.database().transaction() as session:
        if _has_just_started(session):
            return []
        announced = [drive.name for drive in drives.every(session) if _tell(session, drive)]
    if announced:
        chain.ask("tapeline.deliver")
    return announced


def _has_just_started(session: Session) -> bool:
    """No worker can have been heard of while the database was unavailable."""
    up = now() - server.started_at(session)
    return bool(up < timedelta(seconds=settings.load().drive_silent_seconds))


def _tell(session: Session, drive: Drive) -> bool:
    if wiring.is_silent(drive.last_seen_at):
        about = f"drive:{drive.name}:{drive.last_seen_at.isoformat()}"
        return events.announce_once(session, about, Event.DRIVE_SILENT, _silent(session, drive).to_json())
    silence = events.last_about(session, f"drive:{drive.name}:", Event.DRIVE_SILENT)
    if silence is None or silence.about is None:
        return False
    since = datetime.fromisoformat(silence.about.removeprefix(f"drive:{drive.name}:"))
    return events.announce_once(session, silence.about, Event.DRIVE_BACK, _back(drive, since).to_json())


def _silent(session: Session, drive: Drive) -> Facts:
    zone = settings.load().time_zone
    following = planner.next_on(session, drive.name)
    return Facts(
        event=Event.DRIVE_SILENT,
        at=now(),
        time_zone=zone,
        drive=drive.name,
        host=drive.host,
        reason=M(
            "Its worker on {host} was last heard of at {moment}.",
            host=drive.host,
            moment=f"{drive.last_seen_at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}",
        ),
        safe=_under_way(session, drive.name),
        remedy=M(
            "See that host {host} is up, and start the worker there: tapeline worker {queue}",
            host=drive.host,
            queue=drive.queue,
        ),
        schedule=following.name if following else None,
        due_at=following.next_run_time if following else None,
        next_command=f"tapeline drive status {drive.name}",
    )


def _under_way(session: Session, drive: str) -> Message:
    running = drives.running(session, drive)
    if running is None:
        return M("No run is under way on it.")
    return M("Run {run} is under way on it; it goes on by itself when the worker is back.", run=running)


def _back(drive: Drive, since: datetime) -> Facts:
    return Facts(
        event=Event.DRIVE_BACK,
        at=now(),
        time_zone=settings.load().time_zone,
        drive=drive.name,
        host=drive.host,
        seconds=(now() - since).total_seconds(),
    )
