"""``tapeline.tidy``: what ended long ago becomes one row a run."""

from __future__ import annotations

import time
from datetime import timedelta

import structlog

from celery_app import settings, wiring
from celery_app.celery import app
from db import history
from db.models import now

log = structlog.get_logger("tapeline.tidy")

BEGINS_FOR = 60.0
"""Seconds after which no further batch is begun: the next ones come at the next time."""


@app.task(name="tapeline.tidy", acks_late=False, ignore_result=True)
def tidy() -> int:
    """Every hour from beat, in small transactions. Returns how many runs lost their stories."""
    days = settings.load().history_days
    if days == 0:
        return 0
    before, until, shortened = now() - timedelta(days=days), time.monotonic() + BEGINS_FOR, 0
    for remove in (history.shorten, history.forget):
        while time.monotonic() < until:
            with wiring.database().transaction() as session:
                removed = remove(session, before)
            if remove is history.shorten:
                shortened += removed
            if removed == 0:
                break
    if shortened:
        log.info("stories of runs that ended long ago are removed", runs=shortened, days=days)
    return shortened
