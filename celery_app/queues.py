"""Queues and routes: ``control`` for any worker, one tape queue for each drive."""

from __future__ import annotations

from typing import Any

from celery.app.amqp import AMQP, Queues
from kombu import Exchange, Queue

CONTROL = "control"
TAPE = "tape"


def queue(name: str, consumer_arguments: dict[str, Any] | None = None) -> Queue:
    """A queue with its own exchange and routing key; without them it would share the default's.
    ``consumer_arguments``: what a worker asks of it."""
    return Queue(name, Exchange(name, "direct"), routing_key=name, consumer_arguments=consumer_arguments)


def is_tape_queue(name: str) -> bool:
    return name == TAPE or name.startswith(f"{TAPE}.")


class DriveQueues(Queues):  # type: ignore[misc]
    """The queues of the configuration, and those of drives on other hosts, which are made on first use.

    No other name makes a queue: a misspelt name is an error, not a place where messages vanish.
    """

    def __missing__(self, name: Any) -> Queue:
        if not (isinstance(name, str) and is_tape_queue(name)):
            raise KeyError(name)
        return self.add(queue(name))


class DriveAMQP(AMQP):  # type: ignore[misc]
    """Celery's messaging, with the queues of drives."""

    queues_cls = DriveQueues
