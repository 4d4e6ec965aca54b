"""What feeds the drive, and how a backup's time was spent: the operator sees what limits the speed."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from operator import itemgetter

import psutil
from sqlalchemy.orm import Session

from backup.phases import Phases
from backup.request import SetRequest, SetSummary
from db import events
from db.models import ChainRun
from db.states import Step
from policy import units
from policy.errors import UsageError
from policy.message import M, Message
from policy.schedule import rate
from policy.schedule.rate import SourceRate
from policy.units import GIB
from tasks.work import Work
from tasks.writing.throttle import SourceThrottle

MAX_READERS = 4
TELLING = 1.0
"""Seconds that a drive must write before its speed means anything: shorter writes went into its buffer."""


def fed(work: Work, request: SetRequest, limit: SourceRate | None) -> SetRequest:
    """The request with buffer and readers from the settings of the run's drive, and with the rate limit of
    its schedule. That stops no burst of the drive: it is the buffer that fills slowly."""
    drive_settings = work.settings.drive(work.drive_name)
    return replace(
        request,
        buffer_bytes=drive_settings.buffer_bytes or min(GIB, psutil.virtual_memory().total // 4),
        in_bursts=drive_settings.in_bursts,
        readers=readers_of_this_host() if drive_settings.readers is None else drive_settings.readers,
        more_readers=drive_settings.readers is None,
        throttle=None if limit is None else SourceThrottle(limit, work.check, work.is_ending),
    )


def rate_limit(session: Session, run: ChainRun) -> SourceRate | None:
    """How fast the sources of a run may be read. None: at any speed; a rate that a row has wrong is named in
    the story."""
    if run.schedule is None or run.schedule.rate is None:
        return None
    try:
        return rate.of(run.schedule.rate, run.schedule.time_zone)
    except UsageError as error:
        _record(session, run, error.in_one())
        return None


def readers_of_this_host() -> int:
    """How many list folders and read small files ahead from local disks, if no setting defines it."""
    return 0 if sys.platform == "win32" else min(os.cpu_count() or 1, MAX_READERS)


def tell(session: Session, run: ChainRun, summary: SetSummary) -> None:
    """Add to the story how the seconds were spent, and what would have to be faster."""
    spent = summary.seconds
    facts = {
        "total": _seconds(spent.total),
        "scan": _seconds(spent.scan),
        "read": _seconds(spent.read),
        "hash": _seconds(spent.hash),
        "compress": _seconds(spent.compress),
        "wait": _seconds(spent.wait + spent.seal),
        "catalogue": _seconds(spent.catalogue),
    }
    _record(
        session,
        run,
        M(
            "Time: {total}, of it scan {scan}, reading {read}, hashes {hash}, compression {compress}, "
            "waiting for the tape {wait}, catalogue {catalogue}.",
            **facts,
        ),
    )
    if summary.latency:
        _record(
            session,
            run,
            M(
                "A call on the share took {milliseconds} ms: {count} readers.",
                milliseconds=round(1000 * summary.latency, 1),
                count=summary.readers,
            ),
        )
    if spent.slowed >= TELLING:
        _record(
            session,
            run,
            M("The rate limit of its schedule slowed it down for {time}.", time=_seconds(spent.slowed)),
        )
    if spent.drive >= TELLING:
        _record(session, run, _rate(summary))
    if spent.starved:
        _record(session, run, M("The drive had to stop {count} times for data.", count=spent.starved))


def _rate(summary: SetSummary) -> Message:
    spent = summary.seconds
    return M(
        "The drive wrote for {busy}, at {rate}. What limits this backup: {limit}.",
        rate=units.rate(summary.written / spent.drive),
        busy=_seconds(spent.drive),
        limit=limit(spent).to_json(),
    )


def _seconds(count: float) -> str:
    return f"{count:.1f} s"


def limit(spent: Phases) -> Message:
    """What took most of a backup's time; time outside all phases is work of the processor."""
    parts = (
        (spent.scan + spent.read, M("the sources")),
        (spent.wait + spent.seal, M("the drive")),
        (spent.catalogue, M("the database")),
        (spent.slowed, M("the rate limit of its schedule")),
    )
    rest = spent.total - sum(part for part, _ in parts)
    return max((*parts, (rest, M("the processor"))), key=itemgetter(0))[1]


def _record(session: Session, run: ChainRun, message: Message) -> None:
    events.record(session, run, message, step=Step.RUN_BACKUP)
