"""Sends the sign of life in a process of its own, so that a slow service delays nothing.

``python -m celery_app.worker.alive`` sends one and ends.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading

import structlog
from sqlalchemy.exc import SQLAlchemyError

from celery_app import settings, wiring
from celery_app.worker import logs
from db.admin import alive
from notify import sending
from policy.errors import TapelineError
from tape.programs import command
from tape.programs.command import RunningProgram

log = structlog.get_logger("tapeline.alive")

TIMEOUT_SECONDS = 120.0
"""How long the process may live, even if something hangs."""

_started: list[RunningProgram] = []


def ask() -> None:
    """Send one without waiting, unless our last one is still on its way. Raises nothing."""
    _started[:] = [process for process in _started if process.poll() is None]
    if _started:
        return
    try:
        _started.append(command.spawn([sys.executable, "-m", "celery_app.worker.alive"], log=None))
    except (TapelineError, OSError) as error:
        log.warning("the sign of life cannot be sent now; beat asks again", error=str(error))


def main() -> None:
    """Send one, and record what became of it. Raises TapelineError."""
    configured = settings.load()
    logs.set_up(configured.log_json)
    hard_end = threading.Timer(TIMEOUT_SECONDS, os._exit, [1])
    hard_end.daemon = True
    hard_end.start()
    if configured.ping_alive_url is None:
        return
    error = sending.send(wiring.ping(wiring.ALIVE), wiring.composer().alive(socket.gethostname()))
    with wiring.database().transaction() as session:
        alive.sent(session, error.in_one() if error else None)


if __name__ == "__main__":
    try:
        main()
    except (TapelineError, SQLAlchemyError) as error:
        log.warning("what became of the sign of life cannot be recorded", error=str(error))
    logging.shutdown()
    sys.stderr.flush()
    # A thread in which the service still hangs is left behind with the process.
    os._exit(0)
