"""The sign of life that goes out to a monitoring service: whether it is due, and what became of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import AlivePing, now
from policy.message import M, Message


def is_due(session: Session, name: str, every: timedelta) -> bool:
    """Whether a sign of life has to be considered now. Several beats ask; one of them gets True.

    ``name``: the setting with its address. The row of any other setting is removed.
    """
    moment = now()
    session.execute(delete(AlivePing).where(AlivePing.name != name))
    row = insert(AlivePing).values(name=name, considered_at=moment)
    # Beat and this clock are not exactly in step: half the time has to be over.
    due = row.on_conflict_do_update(
        index_elements=["name"],
        set_={"considered_at": moment},
        where=AlivePing.considered_at <= moment - every / 2,
    )
    return session.scalar(due.returning(AlivePing.name)) is not None


def forget(session: Session) -> None:
    """No sign of life is wanted any more."""
    session.execute(delete(AlivePing))


def withheld(session: Session, why: Message) -> None:
    """Record that none was sent, because something urgent needs somebody."""
    _get(session).withheld = why.to_json()


def sent(session: Session, error: Message | None) -> None:
    """Record whether the service accepted it. ``error``: why not."""
    ping, moment = _get(session), now()
    ping.withheld = None
    ping.error = error.to_json() if error else None
    if error is None:
        ping.sent_at, ping.failing_since = moment, None
    else:
        ping.failing_since = ping.failing_since or moment


def last(session: Session) -> AlivePing | None:
    """What became of the last one; None: none is wanted."""
    return session.scalar(select(AlivePing).limit(1))


def problem(session: Session) -> tuple[Message, Message] | None:
    """Why the last one did not go out, and what to do."""
    ping = last(session)
    if ping is None or ping.error is None:
        return None
    return (
        M("The sign of life does not go out: {error}", error=ping.error),
        M("Send one to see whether it goes through: tapeline notify test --channel {name}", name=ping.name),
    )


def as_json(ping: AlivePing) -> dict[str, Any]:
    """The form for scripts."""
    return {
        "sent_at": ping.sent_at.isoformat() if ping.sent_at else None,
        "withheld": ping.withheld,
        "error": ping.error,
        "failing_since": ping.failing_since.isoformat() if ping.failing_since else None,
    }


def _get(session: Session) -> AlivePing:
    return session.scalars(select(AlivePing).limit(1)).one()
