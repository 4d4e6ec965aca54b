"""``tapeline.names``: complete sets get the indexes that find their files by name and by folder."""

from __future__ import annotations

import time

import structlog

from celery_app import wiring
from celery_app.celery import app
from db.sets import names

log = structlog.get_logger("tapeline.names")

BEGINS_FOR = 60.0
"""Seconds after which no further set is begun: the next ones come at the next time."""


@app.task(name="tapeline.names", acks_late=False, ignore_result=True)
def index_names() -> list[str]:
    """Every few minutes from beat, the newest set first. Returns the sets that have their indexes now."""
    until, made = time.monotonic() + BEGINS_FOR, []
    with wiring.database().transaction() as session:
        waiting = names.unindexed(session)
    for set_id in waiting:
        with wiring.database().transaction() as session:
            if not names.index(session, set_id):
                break
        log.info("the names of a set are indexed", set=set_id)
        made.append(set_id)
        if time.monotonic() > until:
            break
    return made
