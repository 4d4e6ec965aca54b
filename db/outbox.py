"""The outbox: notifications that still have to be delivered, taken by one deliverer at a time."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Notification, now

LEASE = timedelta(minutes=2)
"""How long a deliverer may take before another one tries; longer than any channel's time-out."""

_FIRST_PAUSE = timedelta(seconds=30)
_LONGEST_PAUSE = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=3)


def take_due(session: Session, run_id: int | None = None) -> Notification | None:
    """Take the next notification that is due (of a run, if named) for the time of the lease."""
    query = (
        select(Notification)
        .where(Notification.next_attempt_at <= now())
        .order_by(Notification.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if run_id is not None:
        query = query.where(Notification.run_id == run_id)
    due = session.scalar(query)
    if due is not None:
        due.attempts += 1
        due.next_attempt_at = now() + LEASE
    return due


def delivered(notification: Notification, channel: str) -> None:
    """Note that a channel has taken the message."""
    notification.deliveries = {**notification.deliveries, channel: {"sent_at": now().isoformat()}}


def refused(notification: Notification, channel: str, error: str, *, final: bool) -> None:
    """Note why a channel did not take the message; ``final``: it never will."""
    entry = {"error": error, "failed_at" if final else "tried_at": now().isoformat()}
    notification.deliveries = {**notification.deliveries, channel: entry}


def is_settled(notification: Notification, channel: str) -> bool:
    """Whether nothing is left to do for a channel."""
    entry = notification.deliveries.get(channel, {})
    return "sent_at" in entry or "failed_at" in entry


def settle(notification: Notification, channels: list[str]) -> None:
    """Plan the next attempt, with a pause that doubles; none when all is done or it is too old to matter."""
    open_channels = [name for name in channels if not is_settled(notification, name)]
    too_old = now() - notification.created_at > GIVE_UP_AFTER
    pause = min(_FIRST_PAUSE * 2 ** min(notification.attempts - 1, 10), _LONGEST_PAUSE)
    notification.next_attempt_at = now() + pause if open_channels and not too_old else None
