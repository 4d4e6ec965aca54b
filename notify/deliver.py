"""Deliver what is in the outbox: each event to each channel once, with back-off where a channel is down."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from sqlalchemy.orm import Session

from db import outbox
from db.engine import Database
from db.models import Notification
from notify.channel import Channel, ChannelRefused
from notify.facts import Facts
from notify.notice import Notice, compose
from notify.words import Words
from policy.errors import TapelineError

log = structlog.get_logger("tapeline.notify")


def deliver_due(
    database: Database, channels: Mapping[str, Channel], words: Words, *, run_id: int | None = None
) -> int:
    """Deliver what is due (of one run, or all); returns how many messages a channel took.

    A channel that does not take a message never raises here: it is noted at the notification and tried
    again later. Raises DatabaseUnavailable.
    """
    sent = 0
    while (number := _take(database, run_id)) is not None:
        sent += _deliver(database, number, channels, words)
    return sent


def _take(database: Database, run_id: int | None) -> int | None:
    with database.transaction() as session:
        due = outbox.take_due(session, run_id)
        return due.id if due else None


def _deliver(database: Database, number: int, channels: Mapping[str, Channel], words: Words) -> int:
    """Each channel's answer is committed before the next is asked, so that a crash repeats at most one."""
    with database.transaction() as session:
        notification = _get(session, number)
        open_channels = [name for name in channels if not outbox.is_settled(notification, name)]
        notice = _compose(notification, words)
        if notice is None:
            notification.next_attempt_at = None
            return 0
    sent = sum(_send(database, number, channels[name], notice) for name in open_channels)
    with database.transaction() as session:
        outbox.settle(_get(session, number), list(channels))
    return sent


def _compose(notification: Notification, words: Words) -> Notice | None:
    """The notice; None for facts that this version cannot read, which must not hold up the others."""
    try:
        return compose(Facts.from_json(notification.facts), words)
    except (KeyError, TypeError, ValueError):
        log.exception("a notification cannot be read and is left out", notification=notification.id)
        return None


def _send(database: Database, number: int, channel: Channel, notice: Notice) -> bool:
    error = _try(channel, notice)
    with database.transaction() as session:
        notification = _get(session, number)
        if error is None:
            outbox.delivered(notification, channel.name)
        else:
            final = isinstance(error, ChannelRefused)
            outbox.refused(notification, channel.name, str(error), final=final)
    return error is None


def _try(channel: Channel, notice: Notice) -> TapelineError | None:
    try:
        channel.send(notice)
    except TapelineError as error:
        log.warning("a channel did not take a message", channel=channel.name, error=str(error))
        return error
    return None


def _get(session: Session, number: int) -> Notification:
    return session.get_one(Notification, number)
