"""Records in the database which settings this process uses, so that an outdated process can be named."""

from __future__ import annotations

import socket
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from celery_app import settings, wiring
from db.admin import processes
from db.admin.processes import ProcessSettings
from db.engine import Database
from policy.errors import TapelineError

log = structlog.get_logger("tapeline.settings")

SECONDS = 30.0
"""How often, at most."""

_entered = -SECONDS


def enter(kind: str, database: Database | None = None) -> None:
    """``kind``: ``control``, ``beat``, ``flower``, or the queue of a drive. Raises nothing."""
    global _entered  # noqa: PLW0603 - of this process
    if time.monotonic() - _entered < SECONDS:
        return
    _entered = time.monotonic()
    try:
        with (database or wiring.database()).transaction() as session:
            processes.enter(session, of_this_process(f"{kind}@{socket.gethostname()}"))
    except (TapelineError, SQLAlchemyError) as error:
        log.warning("which settings are in use cannot be entered now", error=str(error))


def of_this_process(name: str) -> ProcessSettings:
    """The settings that this process uses."""
    configured, source = settings.load(), settings.SOURCE
    return ProcessSettings(
        name=name,
        host=socket.gethostname(),
        file=str(source.file) if source.file else None,
        read_at=source.read_at,
        channels=sorted(configured.channels),
        behind=source.behind,
        problem=source.problem.to_json() if source.problem else None,
    )
