"""Queues and routes: ``control`` for any worker, one tape queue for each drive."""

from __future__ import annotations

from kombu import Exchange, Queue

CONTROL = "control"
TAPE = "tape"


def queue(name: str) -> Queue:
    """A queue with an exchange and a routing key of its own; without them it would share the default's."""
    return Queue(name, Exchange(name, "direct"), routing_key=name)


def is_tape_queue(name: str) -> bool:
    return name == TAPE or name.startswith(f"{TAPE}.")
