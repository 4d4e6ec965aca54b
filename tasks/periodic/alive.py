"""``tapeline.alive``: while nothing urgent needs somebody, a sign of life goes to a monitoring service."""

from __future__ import annotations

from datetime import timedelta

from celery_app import settings, wiring
from celery_app.celery import app
from celery_app.worker import alive as sender
from db.admin import alive
from db.report import well


@app.task(name="tapeline.alive", acks_late=False, ignore_result=True)
def send_sign_of_life() -> bool:
    """Every few minutes from beat. Returns whether one goes out.

    Silence is the alarm: if beat, broker, database or host are down, nobody comes here.
    """
    configured = settings.load()
    with wiring.database().transaction() as session:
        if configured.ping_alive_url is None:
            alive.forget(session)
            return False
        if not alive.is_due(session, wiring.ALIVE, timedelta(seconds=configured.ping_alive_seconds)):
            return False
        why = well.against_a_sign_of_life(session, wiring.is_silent)
        if why is not None:
            alive.withheld(session, why)
            return False
    sender.ask()
    return True
