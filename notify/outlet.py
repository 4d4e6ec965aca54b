"""An outlet: a channel with its events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from notify.channel import Channel
from notify.events import OFF_BY_DEFAULT, Event


@dataclass(frozen=True, slots=True)
class Outlet:
    """A channel with the events that are switched on for it."""

    channel: Channel
    events: frozenset[Event] = frozenset(Event) - OFF_BY_DEFAULT


def switched(choices: Mapping[Event, bool]) -> frozenset[Event]:
    """The events that are on, after the operator's own choices."""
    chosen = {event: event not in OFF_BY_DEFAULT for event in Event} | dict(choices)
    return frozenset(event for event, is_on in chosen.items() if is_on)
