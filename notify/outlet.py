"""An outlet: a channel with its events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from notify.channel import Channel
from notify.events import MONTHLY, OFF_BY_DEFAULT, Event
from notify.facts import Facts
from policy.times.report import Every


def _anything(_facts: Facts) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Outlet:
    """A channel with the events that are switched on for it."""

    channel: Channel
    events: frozenset[Event] = frozenset(Event) - OFF_BY_DEFAULT
    monthly: frozenset[Event] = MONTHLY
    """Of these events it gets the first of each schedule in a month."""
    every: Every = Every.MONTH
    """Which reports it gets."""
    concerns: Callable[[Facts], bool] = _anything
    """Whether it is about this subject at all."""
    has_one_state: bool = False
    """Its service shows only what it received last: an outdated message would replace a newer one, and is
    left out."""

    def wants(self, facts: Facts) -> bool:
        """Whether the channel gets this message."""
        is_on = facts.event in self.events or (facts.event in self.monthly and facts.is_first_of_month)
        is_of_another_stretch = facts.report is not None and facts.report["every"] != self.every.value
        return is_on and not is_of_another_stretch and self.concerns(facts)


def switched(choices: Mapping[Event, bool]) -> frozenset[Event]:
    """The events that are on each time, after the operator's own choices."""
    chosen = {event: event not in OFF_BY_DEFAULT for event in Event} | dict(choices)
    return frozenset(event for event, is_on in chosen.items() if is_on)


def monthly(choices: Mapping[Event, bool]) -> frozenset[Event]:
    """The events that are on once a month, because the operator has made no choice."""
    return MONTHLY - choices.keys()
