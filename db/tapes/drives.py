"""Drives: registered by their worker, and used by one worker at a time."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db import leaps
from db.models import ChainRun, Drive, now
from db.states import RunState
from db.tapes import erasable
from policy.tapes.medium import MediumReport

LATELY = timedelta(minutes=1)
"""A worker counts as living if it was heard of no longer ago: it reports several times in that time."""


def lock_key(name: str) -> int:
    """The key of the advisory lock that the worker of a drive takes."""
    return int.from_bytes(hashlib.blake2b(f"drive:{name}".encode(), digest_size=8).digest(), signed=True)


def try_lock(connection: Connection, name: str) -> bool:
    """Take the drive's lock for as long as the transaction of this connection lasts."""
    return bool(connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": lock_key(name)}))


def register(
    session: Session,
    *,
    name: str,
    driver: str,
    host: str,
    worker: str,
    queue: str,
    restore_roots: Sequence[str] = (),
) -> None:
    """Register a drive, or the restart of its worker."""
    moment = now()
    leaps.note(session, moment)
    values = {
        "driver": driver,
        "host": host,
        "worker": worker,
        "queue": queue,
        "restore_roots": list(restore_roots),
        "registered_at": moment,
        "last_seen_at": moment,
    }
    session.execute(
        insert(Drive).values(name=name, **values).on_conflict_do_update(index_elements=["name"], set_=values)
    )


def queue_of(session: Session, name: str) -> str | None:
    """The queue that the worker of a drive registered, or None if there never was one."""
    return session.scalar(select(Drive.queue).where(Drive.name == name))


def keeper(session: Session, name: str) -> str | None:
    """The worker that registered a drive last, or None if there never was one."""
    return session.scalar(select(Drive.worker).where(Drive.name == name))


def seen(session: Session, name: str) -> None:
    """Record a sign of life of a drive's worker."""
    moment = now()
    leaps.note(session, moment)
    session.execute(update(Drive).where(Drive.name == name).values(last_seen_at=moment))


def is_alive(session: Session, name: str, within: timedelta = LATELY) -> bool:
    """Whether the worker of a drive was heard of lately."""
    last = session.scalar(select(Drive.last_seen_at).where(Drive.name == name))
    return last is not None and now() - last <= within


def registered_at(session: Session, name: str) -> datetime | None:
    """When the present worker of a drive started; steps that began before it have no worker any more."""
    return session.scalar(select(Drive.registered_at).where(Drive.name == name))


def written(session: Session, name: str, capacity: int | None, free: int) -> None:
    """Store how much space is left on the tape in a drive, after something was written to it."""
    drive = session.get(Drive, name, with_for_update=True)
    if drive is not None and drive.medium is not None:
        medium: MediumReport = {**drive.medium, "empty": False, "free": free}
        if capacity is not None:
            medium["capacity"] = capacity
        drive.medium, drive.medium_at = medium, now()


def every(session: Session) -> Sequence[Drive]:
    """All drives, by name."""
    return session.scalars(select(Drive).order_by(Drive.name)).all()


def names(session: Session) -> list[str]:
    """The names of all drives, sorted."""
    return list(session.scalars(select(Drive.name).order_by(Drive.name)))


def running(session: Session, name: str) -> int | None:
    """The run that works at a drive now; None if there is none."""
    at_it = select(ChainRun.id).where(ChainRun.drive == name, ChainRun.state == RunState.RUNNING)
    return session.scalar(at_it)


def runs_at(session: Session) -> dict[str, dict[RunState, list[int]]]:
    """By drive, the runs that work at it now, are queued for it or wait for a tape in it, by their state."""
    states = (RunState.RUNNING, RunState.QUEUED, RunState.WAITING_FOR_TAPE)
    runs: dict[str, dict[RunState, list[int]]] = defaultdict(lambda: {state: [] for state in states})
    at_it = select(ChainRun.drive, ChainRun.state, ChainRun.id).where(ChainRun.state.in_(states))
    for drive, state, number in session.execute(at_it.order_by(ChainRun.id)):
        runs[drive][state].append(number)
    return runs


def eject_owed(session: Session, name: str) -> int | None:
    """The run whose tape should be ejected from a drive now: nothing works there, and nothing is queued for
    it."""
    return session.scalar(select(Drive.eject_after).where(Drive.name == name, ~_busy(name)))


def clean_owed(session: Session, name: str) -> int | None:
    """The run after which a drive asked to be cleaned, if that can be done now, as ``eject_owed``."""
    return session.scalar(select(Drive.clean_after).where(Drive.name == name, ~_busy(name)))


def _busy(name: str) -> ColumnElement[bool]:
    """The condition that a run works at a drive, or is queued for it."""
    busy = select(ChainRun.id).where(
        ChainRun.drive == name, ChainRun.state.in_((RunState.RUNNING, RunState.QUEUED)), ~ChainRun.is_held
    )
    # A run that waits for its window needs the drive much later.
    return busy.where(ChainRun.opens_at.is_(None) | (ChainRun.opens_at <= now())).exists()


def cleaned(session: Session, name: str, *, alerts: Sequence[Mapping[str, Any]] | None) -> None:
    """The library has tried to clean a drive. ``alerts``: what the drive warns of since; None: it was not
    cleaned, and its warnings stay."""
    values: dict[str, Any] = {"clean_after": None}
    if alerts is not None:
        values["alerts"] = list(alerts)
    session.execute(update(Drive).where(Drive.name == name).values(**values))


def eject_after(session: Session, name: str, run_id: int | None) -> None:
    """Eject the tape of a run when nothing is queued for its drive; None: do not eject."""
    session.execute(update(Drive).where(Drive.name == name).values(eject_after=run_id))


def looked(session: Session, name: str, medium: MediumReport) -> None:
    """Store what was in a drive at an inspection."""
    session.execute(update(Drive).where(Drive.name == name).values(medium=medium, medium_at=now()))
    erasable.looked(session, name, medium)
