"""Deliver what is in the outbox: each event to each channel once, with back-off where a channel is down."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from sqlalchemy.orm import Session

from db import outbox
from db.engine import Database
from db.models import Notification
from notify.channel import Channel, ChannelRefused
from notify.events import Event
from notify.facts import Facts
from notify.notice import Composer, Notice
from notify.outlet import Outlet
from policy.errors import TapelineError

log = structlog.get_logger("tapeline.notify")


def deliver_due(
    database: Database, outlets: Mapping[str, Outlet], composer: Composer, *, run_id: int | None = None
) -> int:
    """Deliver what is due (of one run, or all); returns how many messages a channel took.

    A channel that does not take a message never raises here: it is noted at the notification and tried
    again later. Raises DatabaseUnavailable.
    """
    return Delivery(database, outlets, composer).all_due(run_id)


class Delivery:
    """One pass over the outbox. A channel that is down is asked once in it, so that it holds up nobody."""

    def __init__(self, database: Database, outlets: Mapping[str, Outlet], composer: Composer) -> None:
        self._database = database
        self._outlets = outlets
        self._composer = composer
        self._down: set[str] = set()

    def all_due(self, run_id: int | None) -> int:
        sent = 0
        while (number := self._take(run_id)) is not None:
            sent += self._deliver(number)
        return sent

    def _take(self, run_id: int | None) -> int | None:
        with self._database.transaction() as session:
            due = outbox.take_due(session, run_id)
            return due.id if due else None

    def _deliver(self, number: int) -> int:
        """Each channel's answer is committed before the next is asked: a crash repeats at most one."""
        with self._database.transaction() as session:
            notification = _get(session, number)
            facts = _read(notification)
            if facts is None:
                notification.next_attempt_at = None
                return 0
            wanted = self._wanted(facts.event)
            asked = [name for name in wanted if not outbox.is_settled(notification, name)]
        notice = self._composer.compose(facts)
        sent = sum(self._send(number, self._outlets[name].channel, notice) for name in asked)
        with self._database.transaction() as session:
            outbox.settle(_get(session, number), wanted)
        return sent

    def _wanted(self, event: Event) -> list[str]:
        return [name for name, outlet in self._outlets.items() if event in outlet.events]

    def _send(self, number: int, channel: Channel, notice: Notice) -> bool:
        if channel.name in self._down:
            return False
        error = _try(channel, notice)
        if error is not None and not isinstance(error, ChannelRefused):
            self._down.add(channel.name)
        with self._database.transaction() as session:
            notification = _get(session, number)
            if error is None:
                outbox.delivered(notification, channel.name)
            else:
                final = isinstance(error, ChannelRefused)
                outbox.refused(notification, channel.name, error, final=final)
        return error is None


def _read(notification: Notification) -> Facts | None:
    """None for facts that this version cannot read, which must not hold up the others."""
    try:
        return Facts.from_json(notification.facts)
    except (KeyError, TypeError, ValueError):
        log.exception("a notification cannot be read and is left out", notification=notification.id)
        return None


def _try(channel: Channel, notice: Notice) -> TapelineError | None:
    try:
        channel.send(notice)
    except TapelineError as error:
        log.warning("a channel did not take a message", channel=channel.name, error=str(error))
        return error
    return None


def _get(session: Session, number: int) -> Notification:
    return session.get_one(Notification, number)
