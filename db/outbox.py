"""The outbox: notifications that still have to be delivered, taken by one deliverer at a time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Notification, now
from policy.errors import TapelineError

LEASE = timedelta(minutes=2)
"""How long a deliverer may take before another one tries; longer than any channel's time-out."""

_FIRST_PAUSE = timedelta(seconds=30)
_LONGEST_PAUSE = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=3)
"""How long a channel is tried, counted from the first time that it did not take the message."""

LATELY = timedelta(days=7)
"""How long a message that a channel never took is shown."""

_ENDINGS = frozenset({"sent_at", "failed_at", "given_up_at"})


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
    _note(notification, channel, {"sent_at": now().isoformat()})


def refused(notification: Notification, channel: str, error: TapelineError, *, final: bool) -> None:
    """Note why a channel did not take the message; ``final``: it never will."""
    moment = now()
    first = notification.deliveries.get(channel, {}).get("first_tried_at", moment.isoformat())
    entry = {
        "error": str(error),
        "said": error.in_one().to_json(),
        "first_tried_at": first,
        "tried_at": moment.isoformat(),
    }
    if final:
        entry["failed_at"] = moment.isoformat()
    elif moment - datetime.fromisoformat(first) > GIVE_UP_AFTER:
        entry["given_up_at"] = moment.isoformat()
    _note(notification, channel, entry)


def is_settled(notification: Notification, channel: str) -> bool:
    """Whether nothing is left to do for a channel."""
    return bool(_ENDINGS & notification.deliveries.get(channel, {}).keys())


def settle(notification: Notification, channels: Iterable[str]) -> None:
    """Plan the next attempt, with a pause that doubles; none when each of the channels is settled."""
    is_open = any(not is_settled(notification, name) for name in channels)
    pause = min(_FIRST_PAUSE * 2 ** min(notification.attempts - 1, 10), _LONGEST_PAUSE)
    notification.next_attempt_at = now() + pause if is_open else None


def troubles(session: Session) -> dict[str, dict[str, Any]]:
    """For each channel in trouble: how many messages it holds up, how many it lately never took, and why."""
    found: dict[str, dict[str, Any]] = {}
    lately = Notification.created_at > now() - LATELY
    rows = select(Notification).where(Notification.next_attempt_at.is_not(None) | lately)
    for notification in session.scalars(rows.order_by(Notification.id)):
        for channel, entry in notification.deliveries.items():
            if "error" in entry:
                _count(found, channel, entry)
    return found


def _count(found: dict[str, dict[str, Any]], channel: str, entry: dict[str, Any]) -> None:
    trouble = found.setdefault(channel, {"waiting": 0, "lost": 0, "since": entry["first_tried_at"]})
    trouble["lost" if _ENDINGS & entry.keys() else "waiting"] += 1
    trouble["since"] = min(trouble["since"], entry["first_tried_at"])
    trouble["error"], trouble["said"] = entry["error"], entry.get("said")


def _note(notification: Notification, channel: str, entry: dict[str, Any]) -> None:
    notification.deliveries = {**notification.deliveries, channel: entry}
