"""Copies that have ended and may have left files in the spool folder of their drive's host."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from db.models import ChainRun
from db.runs import transitions
from db.states import ENDED, Kind


def left(session: Session, drive: str | None = None) -> list[tuple[int, str]]:
    """These runs with their drives."""
    may_have = type_coerce(ChainRun.notes, JSONB)["in_spool"].as_boolean()
    query = select(ChainRun.id, ChainRun.drive).where(
        ChainRun.kind == Kind.COPY, ChainRun.state.in_(ENDED), may_have, ~ChainRun.is_held
    )
    if drive is not None:
        query = query.where(ChainRun.drive == drive)
    return [(number, at) for number, at in session.execute(query.order_by(ChainRun.id))]


def removed(session: Session, run_id: int) -> None:
    """The files of a run are removed: retried, it reads the set again."""
    run = transitions.get(session, run_id, lock=True)
    run.notes = replace(run.notes, in_spool=False, spooled=None)
