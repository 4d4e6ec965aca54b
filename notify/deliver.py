"""Deliver the outbox: each event to each channel once, with back-off if a channel is down."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from db import events, outbox
from db.engine import Database
from db.models import Notification, now
from notify import sending
from notify.channel import BrokenChannel, Channel, ChannelRefused, RateLimited
from notify.events import Event
from notify.facts import Facts
from notify.notice import Composer, Notice
from notify.outlet import Outlet
from policy.errors import TapelineError

log = structlog.get_logger("tapeline.notify")


DOWN_FOR = timedelta(hours=1)
"""How long a channel may accept no message before the others report that. A channel that refuses for good is
reported at once."""


def deliver_due(
    database: Database, outlets: Mapping[str, Outlet], composer: Composer, *, time_zone: str = "UTC"
) -> int:
    """Deliver what is due; returns how many messages a channel accepted. ``time_zone``: the operators' clock.

    A channel that does not accept a message never raises here: the failure is recorded at the notification,
    it is tried again later, and the other channels report that the channel is down. Raises
    DatabaseUnavailable.
    """
    return Delivery(database, outlets, composer, time_zone).all_due()


def leave_out_unwanted(database: Database, wanted: Mapping[str, Collection[Event]]) -> bool:
    """Close due messages that no channel wants; returns whether anything else is due.

    ``wanted``: for each channel its events. Raises DatabaseUnavailable.
    """
    names = {event.value for events in wanted.values() for event in events}
    with database.transaction() as session:
        return outbox.leave_out(session, names)


class Delivery:
    """One pass over the outbox. It tries a channel that is down only once, so that it delays nothing else."""

    def __init__(
        self, database: Database, outlets: Mapping[str, Outlet], composer: Composer, time_zone: str
    ) -> None:
        self._database = database
        self._outlets = outlets
        self._composer = composer
        self._time_zone = time_zone
        self._down: set[str] = set()

    def all_due(self) -> int:
        sent = 0
        while (number := self._take()) is not None:
            sent += self._deliver(number)
        return sent

    def _take(self) -> int | None:
        with self._database.transaction() as session:
            due = outbox.take_due(session)
            return due.id if due else None

    def _deliver(self, number: int) -> int:
        """Each channel's answer is committed before the next one is tried: a crash repeats at most one
        delivery."""
        with self._database.transaction() as session:
            notification = _get(session, number)
            facts = _read(notification)
            if facts is None:
                notification.next_attempt_at = None
                return 0
            wanted = self._wanted(session, notification, facts)
            asked = [name for name in wanted if not outbox.is_settled(notification, name)]
        sent = self._ask(number, asked, facts)
        with self._database.transaction() as session:
            outbox.settle(_get(session, number), wanted)
        return sent

    def _ask(self, number: int, asked: list[str], facts: Facts) -> int:
        notice = self._composer.compose(facts) if asked else None
        return sum(self._send(number, self._outlets[name].channel, notice) for name in asked if notice)

    def _wanted(self, session: Session, notification: Notification, facts: Facts) -> list[str]:
        """The other channels report that a channel is down."""
        return [
            name
            for name, outlet in self._outlets.items()
            if outlet.wants(facts)
            and name != facts.channel
            and not (outlet.has_one_state and outbox.is_overtaken(session, notification, name))
        ]

    def _send(self, number: int, channel: Channel, notice: Notice) -> bool:
        if channel.name in self._down:
            return False
        error = sending.send(channel, notice)
        with self._database.transaction() as session:
            notification = _get(session, number)
            if error is None:
                outbox.delivered(notification, channel.name)
            else:
                self._refused(session, notification, channel, error)
        return error is None

    def _refused(
        self, session: Session, notification: Notification, channel: Channel, error: TapelineError
    ) -> None:
        final = isinstance(error, ChannelRefused)
        closed_for = error.retry_after if isinstance(error, RateLimited) else None
        outbox.refused(notification, channel.name, error, final=final, closed_for=closed_for)
        if not final:
            self._down.add(channel.name)
        session.flush()
        self._alert(session, channel, error, at_once=final or isinstance(channel, BrokenChannel))

    def _alert(self, session: Session, channel: Channel, error: TapelineError, *, at_once: bool) -> None:
        trouble = outbox.troubles(session).get(channel.name)
        if trouble is None:  # It has accepted another message at this very moment.
            return
        since = trouble["since"]
        if at_once or now() - datetime.fromisoformat(since) > DOWN_FOR:
            facts = _of_channel(channel.name, error, self._time_zone)
            events.announce_once(session, f"channel:{channel.name}:{since}", facts.event, facts.to_json())


def _of_channel(name: str, error: TapelineError, time_zone: str) -> Facts:
    return Facts(
        event=Event.CHANNEL_DOWN,
        at=now(),
        time_zone=time_zone,
        channel=name,
        reason=error.message,
        remedy=error.remedy,
        next_command=f"tapeline notify test --channel {name}",
    )


def _read(notification: Notification) -> Facts | None:
    """None for facts that this version cannot read, which must not delay the others."""
    try:
        return Facts.from_json(notification.facts)
    except (KeyError, TypeError, ValueError):
        log.exception("a notification cannot be read and is left out", notification=notification.id)
        return None


def _get(session: Session, number: int) -> Notification:
    return session.get_one(Notification, number)
