"""``tapeline.report``: once a week and once a month, what is protected and what is needed."""

from __future__ import annotations

from sqlalchemy.orm import Session

from celery_app import settings, wiring
from celery_app.celery import app
from db import events
from db.models import now
from db.report import gather
from notify.events import Event
from notify.facts import Facts
from policy.times import report
from policy.times.report import Every
from tasks import chain


@app.task(name="tapeline.report", acks_late=False, ignore_result=True)
def make_report() -> list[str]:
    """Every minute from beat. Returns the reports that were announced: ``week``, ``month``."""
    made = []
    for every in sorted(wiring.reports()):
        with wiring.database().transaction() as session:
            if _announce(session, every):
                made.append(every.value)
    if made:
        chain.ask("tapeline.deliver")
    return made


def _announce(session: Session, every: Every) -> bool:
    """Whether the newest report that is due was announced now, and not before."""
    configured, moment = settings.load(), now()
    about = report.last(every, moment, configured.zone)
    name = f"report:{every.value}:{about.end:%Y-%m-%d}"
    is_made = events.is_announced(session, name, Event.REPORT, about=name, since=moment)
    if is_made or not gather.may_be_made(session, about.end):
        return False
    facts = Facts(
        event=Event.REPORT,
        at=moment,
        time_zone=configured.time_zone,
        report=gather.report(session, every, about, moment, wiring.is_silent),
    )
    return events.announce_once(session, name, Event.REPORT, facts.to_json())
