"""The broker of a history: messages that may come late, twice, in any order or never.

They are made by Celery's own sender and performed by its own tracer: chains, callbacks and errors are real.
"""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from celery import Celery
from celery.app.task import Context, Task
from celery.app.trace import trace_task_ret
from celery.exceptions import WorkerLostError
from kombu.exceptions import OperationalError

from tests.histories.machinery.points import Points, Process


@dataclass(frozen=True)
class Letter:
    """A message of a queue."""

    queue: str
    task: str
    id: str
    headers: str
    body: str

    def request(self) -> dict[str, Any]:
        """The request that a worker makes of it."""
        delivery = {"exchange": self.queue, "routing_key": self.queue, "priority": 0, "redelivered": False}
        return {
            **json.loads(self.headers),
            "properties": {},
            "reply_to": None,
            "correlation_id": self.id,
            "delivery_info": delivery,
        }


class _Producer:
    """What Celery publishes with, as far as it looks at it before it sends."""

    def __init__(self) -> None:
        self.connection = self

    def _reraise_as_library_errors(self) -> Any:
        return nullcontext()


class Bus:
    """The queues, in order of arrival."""

    def __init__(self, app: Celery, points: Points) -> None:
        self.queues: dict[str, list[Letter]] = defaultdict(list)
        self.away = False
        self.sent = 0
        self._app = app
        self._points = points

    def clear(self) -> None:
        """All messages are lost."""
        self.queues.clear()

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Take the place of the connection to the broker."""
        patch.setattr(self._app, "producer_or_acquire", lambda *_: nullcontext(_Producer()))
        patch.setitem(vars(self._app.amqp), "send_task_message", self._send)
        patch.setattr(Task, "send_event", lambda *_, **__: None)

    def _send(self, _producer: Any, name: str, message: Any, *, queue: Any = None, **_: Any) -> None:
        self._points.at(f"send {name}")
        if self.away:
            raise OperationalError("the broker does not answer")
        headers, properties, body, _event = message
        where = getattr(queue, "name", queue) or "control"
        self.queues[where].append(
            Letter(where, name, properties["correlation_id"], json.dumps(headers), json.dumps(body))
        )
        self.sent += 1
        self._points.at(f"sent {name}")

    def letters(self) -> Iterator[Letter]:
        """All messages, the queues in order of their names."""
        for name in sorted(self.queues):
            yield from self.queues[name]

    def take(self, letter: Letter) -> None:
        """Acknowledge a message before it is worked on, as Tapeline's workers do."""
        self.queues[letter.queue].remove(letter)

    def perform(self, letter: Letter) -> None:
        """Work on a message as the process of a pool does."""
        with warnings.catch_warnings():
            # That a broker is away when a task has ended is a warning to Celery, and goes on.
            warnings.filterwarnings("ignore", "Exception raised outside body", RuntimeWarning)
            trace_task_ret(
                letter.task, letter.id, letter.request(), json.loads(letter.body), None, None, app=self._app
            )

    def child_died(self, letter: Letter) -> None:
        """What a worker does when it finds that the process that worked on a message is gone."""
        _args, _kwargs, embedded = json.loads(letter.body)
        request = Context({**letter.request(), **embedded})
        with self._points.work(Process()), suppress(OperationalError):
            self._app.backend.mark_as_failure(letter.id, WorkerLostError("killed"), request=request)
