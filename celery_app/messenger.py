"""Delivers messages in a process of its own, so that no channel can hold up what drives runs.

``python -m celery_app.messenger`` delivers what is due and ends. A worker starts it and does not wait for it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from celery_app import logs, reading, settings, wiring
from celery_app.queues import CONTROL
from notify.deliver import deliver_due, leave_out_unwanted
from policy.errors import TapelineError
from tape.errors import DriveBusy
from tape.hostlock import HostLock
from tape.programs import command
from tape.programs.command import Process

log = structlog.get_logger("tapeline.notify")

LONGEST_SECONDS = 600.0
"""How long one process may deliver, whatever it hangs on; what is left is for the next one."""

LOOK_SECONDS = 0.1

_started: list[Process] = []


def ask() -> Process | None:
    """Have what is due delivered; returns at once, with the process of ours that does it, if there is one.

    Whoever delivers already looks once more before it ends: no second process is started beside it. Raises
    nothing: a message that cannot be sent now is sent later, and is no part of a run's work.
    """
    reading.enter(CONTROL)
    _started[:] = [process for process in _started if process.poll() is None]
    try:
        if not leave_out_unwanted(wiring.database(), wiring.wanted()):
            return None
        if _started or not _nobody_delivers():
            return next(iter(_started), None)
        process = command.spawn([sys.executable, "-m", "celery_app.messenger"], log=None)
    except (TapelineError, SQLAlchemyError, OSError) as error:
        log.warning("messages cannot be delivered now; beat asks again", error=str(error))
        return None
    _started.append(process)
    return process


def finish(limit: float) -> None:
    """Deliver what is due, and wait until nobody on this host delivers, at most so many seconds."""
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

    Whoever found it at work may have come for a message that it did not see any more, so it looks once more
    after it has let go.
    """
    logs.set_up(settings.load().log_json)
    hard_end = threading.Timer(LONGEST_SECONDS, os._exit, [1])
    hard_end.daemon = True
    hard_end.start()
    while leave_out_unwanted(wiring.database(), wiring.wanted()):
        try:
            with _lock():
                deliver()
        except DriveBusy:
            return


def deliver() -> int:
    """Deliver what is due, by the channels of the settings; returns how many messages one of them took."""
    database = wiring.database()
    return deliver_due(database, wiring.outlets(), wiring.composer(), time_zone=settings.load().time_zone)


if __name__ == "__main__":
    try:
        main()
    except TapelineError as error:
        log.warning("messages could not be delivered; beat asks again", error=str(error))
    logging.shutdown()
    sys.stderr.flush()
    # A thread that a channel still holds is left behind with the process.
    os._exit(0)
