"""Sets the stage: the product as it is, with clock, broker, drives and channel of a history."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

import db.clock
from backup.writing import finishing
from celery_app import celery, settings, wiring
from celery_app.drive_settings import VirtualDriveSettings
from celery_app.queues import queue
from celery_app.worker import messenger
from db import engine
from db.engine import Database
from db.errors import LostClaim
from notify.outlet import Outlet
from policy import guard
from tape.virtual import drive
from tasks import work
from tasks.drive import patience
from tasks.steps import precheck, run_backup
from tasks.writing import target
from tests.histories.machinery.bus import Bus
from tests.histories.machinery.clock import Clock, HostClock
from tests.histories.machinery.drive import Formatter, WatchedDrive, WatchedVolume
from tests.histories.machinery.mailbox import Mailbox
from tests.histories.machinery.points import Points
from tests.histories.machinery.truth import WatchedDatabase
from tests.histories.world import DRIVES, Parts

PAUSE = timedelta(seconds=20)
"""How long each wait is: what waits looks around less often than it would."""


@contextmanager
def stage(folder: Path, database_url: str, drives: tuple[str, ...] = DRIVES, **more: Any) -> Iterator[Parts]:
    """Everything that a history needs, in a folder and an empty database; undone at the end. ``more``: other
    settings than the usual ones."""
    points, clock = Points(), Clock()
    app = celery.app
    app.loader.import_default_modules()
    configured = settings.Settings(
        state_dir=folder,
        time_zone="UTC",
        drives={
            name: VirtualDriveSettings(driver="virtual", path=folder / "drives" / name) for name in drives
        },
        **more,
    )
    parts = Parts(
        folder=folder,
        database=Database(database_url),
        points=points,
        clock=clock,
        host_clock=HostClock(clock),
        bus=Bus(app, points),
        formatter=Formatter(points),
        mailbox=Mailbox(),
        sources=folder / "sources",
        drives=drives,
    )
    watched = WatchedDatabase(database_url, points, parts.mailbox)
    # One that is gone is never asked again: each history would pay for the question, and none needs it.
    watched.engine.pool._pre_ping = parts.database.engine.pool._pre_ping = False
    with pytest.MonkeyPatch.context() as patch, _silence():
        patch.setattr(db.clock, "now", clock.now)
        patch.setattr(finishing, "datetime", parts.host_clock)
        patch.setattr(settings, "load", lambda: configured)
        patch.setattr(wiring, "database", lambda: watched)
        patch.setattr(wiring, "drive", lambda name: _drive(parts, name))
        outlet = Outlet(parts.mailbox)
        patch.setattr(wiring, "wanted", lambda: {parts.mailbox.name: outlet.events})
        patch.setattr(wiring, "outlets", lambda: {parts.mailbox.name: outlet})
        # A history has one process: it delivers itself.
        patch.setattr(messenger, "ask", messenger.deliver)
        patch.setattr(WatchedDrive, "points", points, raising=False)
        patch.setattr(WatchedVolume, "points", points, raising=False)
        patch.setattr(drive, "VirtualVolume", WatchedVolume)
        # A process for each look at the sources is too slow for thousands of them.
        for module in (precheck, run_backup):
            patch.setattr(module, "for_step", lambda _work: None)
        parts.formatter.install(patch)
        for name in drives:
            app.amqp.queues.add(queue(configured.queue_of(name)))
        parts.bus.install(patch)
        # The sources have few files, and are judged all the same.
        patch.setattr(guard, "MIN_FILES", 2)
        _let_no_time_pass(patch, parts)
        _beat_at_safe_points(patch, points)
        yield parts
    watched.close()
    parts.database.close()


def _drive(parts: Parts, name: str) -> WatchedDrive:
    return WatchedDrive(name, parts.folder / "drives" / name)


def _let_no_time_pass(patch: pytest.MonkeyPatch, parts: Parts) -> None:
    """Waiting moves the clock instead; the disk need not keep anything; names are not left to chance."""

    def sleep(_seconds: float) -> None:
        parts.clock.move(PAUSE)
        parts.formatter.wait()

    time = SimpleNamespace(sleep=sleep, monotonic=parts.clock.seconds)
    patch.setattr(engine, "time", time)
    patch.setattr(patience, "time", time)
    patch.setattr(os, "fsync", lambda _: None)
    numbers = itertools.count()
    patch.setattr(target, "secrets", SimpleNamespace(token_hex=lambda _: f"{next(numbers) % 65536:04x}"))


def _beat_at_safe_points(patch: pytest.MonkeyPatch, points: Points) -> None:
    """The heart beats when the step asks, not by a thread: what was done to the run is heard at once."""
    check = work.Work.check

    def beat_and_check(self: work.Work) -> None:
        if points.process and points.process.struck:
            try:
                self._beat()
            except LostClaim:
                self._lost = True
        check(self)

    patch.setattr(work.Work, "_keep_beating", lambda _: None)
    patch.setattr(work.Work, "check", beat_and_check)


@contextmanager
def _silence() -> Iterator[None]:
    """Ten thousand histories write no log."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    loggers = [logging.getLogger(name) for name in ("celery", "celery.app.trace")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    structlog.configure(**before)
