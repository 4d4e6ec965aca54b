"""The outbox: notifications that still have to be delivered, taken by one deliverer at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, DateTime, cast, func, literal, select, true, update
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH
from sqlalchemy.orm import Session

from db.models import Notification, now
from policy.errors import TapelineError
from policy.times import backoff

LEASE = timedelta(minutes=2)
"""How long a deliverer may take with one channel before another one tries; longer than any may answer."""

_FIRST_PAUSE = timedelta(seconds=30)
_MAX_PAUSE = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=3)
"""How long a channel is tried, counted from its first failure with the message."""

LATELY = timedelta(days=7)
"""How long a message that a channel never accepted is shown."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What a channel with a rate limit must know of the messages that other processes sent."""

    ages: list[float]
    """Seconds since each message that it accepted recently, the oldest first."""
    closed_for: float = 0.0
    """Seconds for which it accepts none."""


_ENDINGS = frozenset({"sent_at", "failed_at", "given_up_at"})


def leave_out(session: Session, events: Collection[str]) -> bool:
    """Close due messages of any other event, which no channel wants; returns whether more is due."""
    due = select(Notification.id, Notification.event).where(Notification.next_attempt_at <= now())
    rows = session.execute(due).all()
    unwanted = [number for number, event in rows if event not in events]
    if unwanted:
        session.execute(
            update(Notification).where(Notification.id.in_(unwanted)).values(next_attempt_at=None)
        )
    return len(rows) > len(unwanted)


def take_due(session: Session) -> Notification | None:
    """Take the next due notification for the time of the lease."""
    due = session.scalar(
        select(Notification)
        .where(Notification.next_attempt_at <= now())
        .order_by(Notification.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if due is not None:
        due.attempts += 1
        due.next_attempt_at = now() + LEASE
    return due


def unsent(session: Session, *, overdue: timedelta | None = None) -> int:
    """How many messages have not reached every channel yet. ``overdue``: only those that are due for longer
    than this."""
    is_open = (
        Notification.next_attempt_at.is_not(None)
        if overdue is None
        else Notification.next_attempt_at < now() - overdue
    )
    return session.scalars(select(func.count()).select_from(Notification).where(is_open)).one()


def delivered(notification: Notification, channel: str) -> None:
    """Record that a channel has accepted the message."""
    _note(notification, channel, {"sent_at": now().isoformat()})


def refused(
    notification: Notification,
    channel: str,
    error: TapelineError,
    *,
    final: bool,
    closed_for: float | None = None,
) -> None:
    """Record why a channel did not accept the message.

    ``final``: it never will. ``closed_for``: seconds for which it accepts none at all.
    """
    moment = now()
    first = notification.deliveries.get(channel, {}).get("first_tried_at", moment.isoformat())
    entry = {
        "error": str(error),
        "said": error.in_one().to_json(),
        "first_tried_at": first,
        "tried_at": moment.isoformat(),
    }
    if closed_for is not None:
        entry["closed_until"] = (moment + timedelta(seconds=closed_for)).isoformat()
    if final:
        entry["failed_at"] = moment.isoformat()
    elif moment - datetime.fromisoformat(first) > GIVE_UP_AFTER:
        entry["given_up_at"] = moment.isoformat()
    _note(notification, channel, entry)


def is_settled(notification: Notification, channel: str) -> bool:
    """Whether nothing is left to do for a channel."""
    return bool(_ENDINGS & notification.deliveries.get(channel, {}).keys())


def is_overtaken(session: Session, notification: Notification, channel: str) -> bool:
    """Whether a channel has accepted a later message than this one."""
    later = (Notification.id > notification.id) & Notification.deliveries[channel].has_key("sent_at")
    return session.scalar(select(Notification.id).where(later).limit(1)) is not None


def settle(notification: Notification, channels: Iterable[str]) -> None:
    """Plan the next attempt, with a pause that doubles; none if each of the channels is settled."""
    is_open = any(not is_settled(notification, name) for name in channels)
    pause = backoff.pause(_FIRST_PAUSE, notification.attempts, _MAX_PAUSE)
    notification.next_attempt_at = now() + pause if is_open else None


def troubles(session: Session) -> dict[str, dict[str, Any]]:
    """For each channel in trouble: how many messages wait for it, how many it recently never accepted, and
    why.

    A channel that has accepted a message since works again: earlier losses are past, and rejected messages
    are tried again automatically.
    """
    by_channel: dict[str, dict[str, Any]] = {}
    rows = [each for each in _lately(session, with_errors=True) if _errors(each)]
    if not rows:
        return by_channel
    worked = _worked(session, {channel for row in rows for channel in _errors(row)})
    for notification in rows:
        for channel, entry in _errors(notification).items():
            if not _is_past(entry, worked.get(channel)):
                _count(by_channel, channel, entry)
    return by_channel


def _errors(notification: Notification) -> dict[str, dict[str, Any]]:
    return {channel: entry for channel, entry in notification.deliveries.items() if "error" in entry}


def _worked(session: Session, channels: Collection[str]) -> dict[str, datetime]:
    """When each channel last accepted one of the messages of these days."""
    entry = func.jsonb_each(Notification.deliveries).table_valued("key", "value", name="entry")
    sent_at = func.max(cast(cast(entry.c.value, JSONB)["sent_at"].astext, DateTime(timezone=True)))
    rows = session.execute(
        select(entry.c.key, sent_at)
        .select_from(Notification)
        .join(entry, true())
        .where(_is_recent(), entry.c.key.in_(channels))
        .group_by(entry.c.key)
    )
    return {channel: moment for channel, moment in rows if moment is not None}


def paces(session: Session, within: timedelta) -> dict[str, Pace]:
    """How much each channel has accepted recently, and whether it accepts nothing for a while."""
    rows, moment = _lately(session), now()
    by_channel: dict[str, Pace] = {}
    for channel, moments in _sent(rows).items():
        ages = [(moment - sent).total_seconds() for sent in moments if moment - sent < within]
        by_channel[channel] = Pace(sorted(ages, reverse=True))
    for channel, until in _closed(rows).items():
        pace = by_channel.setdefault(channel, Pace([]))
        by_channel[channel] = replace(pace, closed_for=max(0.0, (until - moment).total_seconds()))
    return by_channel


def _is_recent() -> ColumnElement[bool]:
    return Notification.next_attempt_at.is_not(None) | (Notification.created_at > now() - LATELY)


def _lately(session: Session, *, with_errors: bool = False) -> Sequence[Notification]:
    """The messages that are under way, and those of these days; or only those that a channel refused."""
    rows = select(Notification).where(_is_recent())
    if with_errors:
        rows = rows.where(Notification.deliveries.path_exists(literal("$.*.error", JSONPATH)))
    return session.scalars(rows.order_by(Notification.id)).all()


def _sent(rows: Iterable[Notification]) -> dict[str, list[datetime]]:
    moments: dict[str, list[datetime]] = {}
    for notification in rows:
        for channel, entry in notification.deliveries.items():
            if "sent_at" in entry:
                moments.setdefault(channel, []).append(datetime.fromisoformat(entry["sent_at"]))
    return moments


def _closed(rows: Iterable[Notification]) -> dict[str, datetime]:
    until_of: dict[str, datetime] = {}
    for notification in rows:
        for channel, entry in notification.deliveries.items():
            if "closed_until" in entry:
                until = datetime.fromisoformat(entry["closed_until"])
                until_of[channel] = max(until, until_of.get(channel, until))
    return until_of


def _is_past(entry: dict[str, Any], worked: datetime | None) -> bool:
    return worked is not None and worked > datetime.fromisoformat(entry["tried_at"])


def _count(troubles: dict[str, dict[str, Any]], channel: str, entry: dict[str, Any]) -> None:
    trouble = troubles.setdefault(channel, {"waiting": 0, "lost": 0, "since": entry["first_tried_at"]})
    trouble["lost" if _ENDINGS & entry.keys() else "waiting"] += 1
    trouble["since"] = min(trouble["since"], entry["first_tried_at"])
    trouble["error"], trouble["said"] = entry["error"], entry.get("said")


def _note(notification: Notification, channel: str, entry: dict[str, Any]) -> None:
    """Also prolongs the lease: the next channel has the full time."""
    notification.deliveries = {**notification.deliveries, channel: entry}
    notification.next_attempt_at = now() + LEASE
