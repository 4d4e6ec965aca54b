"""Delivers messages in a process of its own, so that no channel can delay the processes that drive runs.

``python -m celery_app.worker.messenger`` delivers what is due and ends. A worker starts it without waiting.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from celery_app import reading, settings, wiring
from celery_app.queues import CONTROL
from celery_app.worker import logs
from notify.deliver import deliver_due, leave_out_unwanted
from policy.errors import TapelineError
from tape.errors import DriveBusy
from tape.hostlock import HostLock
from tape.programs import command
from tape.programs.command import RunningProgram

log = structlog.get_logger("tapeline.notify")

TIMEOUT_SECONDS = 600.0
"""How long one process may deliver, even if something hangs; the next one delivers the rest."""

LOOK_SECONDS = 0.1

_started: list[RunningProgram] = []


def ask() -> RunningProgram | None:
    """Have due messages delivered; returns at once, with our process that delivers them, if there is one.

    A process that is already delivering checks once more before it ends, so no second process is started
    beside it. Raises nothing: a message that cannot be sent now is sent later, and is no part of a run's
    work.
    """
    reading.enter(CONTROL)
    _started[:] = [process for process in _started if process.poll() is None]
    try:
        if not leave_out_unwanted(wiring.database(), wiring.wanted()):
            return None
        if _started or not _nobody_delivers():
            return next(iter(_started), None)
        process = command.spawn([sys.executable, "-m", "celery_app.worker.messenger"], log=None)
    except (TapelineError, SQLAlchemyError, OSError) as error:
        log.warning("messages cannot be delivered now; beat asks again", error=str(error))
        return None
    _started.append(process)
    return process


def finish(limit: float) -> None:
    """Deliver what is due, and wait until no process on this host delivers, at most so many seconds."""
    process, deadline = ask(), time.monotonic() + limit
    while time.monotonic() < deadline:
        if (process is None or process.poll() is not None) and _nobody_delivers():
            process = ask()
            if process is None and _nobody_delivers():
                return
        time.sleep(LOOK_SECONDS)


def _nobody_delivers() -> bool:
    try:
        with _lock():
            return True
    except DriveBusy:
        return False


def _lock() -> HostLock:
    folder = settings.load().state_dir
    folder.mkdir(parents=True, exist_ok=True)
    return HostLock(folder / "messenger.lock")


def main() -> None:
    """Deliver until nothing is due. One process of a host delivers; another one ends at once.

    Another process that ended may have come for a message that this one did not see any more. So this one
    checks once more after it has released the lock.
    """
    logs.set_up(settings.load().log_json)
    hard_end = threading.Timer(TIMEOUT_SECONDS, os._exit, [1])
    hard_end.daemon = True
    hard_end.start()
    while leave_out_unwanted(wiring.database(), wiring.wanted()):
        try:
            with _lock():
                deliver()
        except DriveBusy:
            return


def deliver() -> int:
    """Deliver what is due through the channels of the settings; returns how many messages a channel
    accepted."""
    database = wiring.database()
    return deliver_due(database, wiring.outlets(), wiring.composer(), time_zone=settings.load().time_zone)


if __name__ == "__main__":
    try:
        main()
    except TapelineError as error:
        log.warning("messages could not be delivered; beat asks again", error=str(error))
    logging.shutdown()
    sys.stderr.flush()
    # A thread in which a channel still hangs is left behind with the process.
    os._exit(0)
