"""A Celery application that does nothing: the cost of six messages by themselves."""

from __future__ import annotations

import os
from typing import Any

import redis
from celery import Celery, chain

BROKER = os.environ.get("TAPELINE_BROKER_URL", "")
DONE = "bare:done"
STEPS = ("control", "control", "tape", "control", "tape", "control")
"""The queues of a chain of six, as a run's steps change between them."""

app = Celery("bare", broker=BROKER)
app.conf.update(
    task_ignore_result=True,
    worker_send_task_events=True,
    broker_transport_options={"global_keyprefix": "bare:"},
)


@app.task(name="bare.nothing")  # type: ignore[untyped-decorator]
def nothing(number: int, last: bool) -> None:
    """A step; the last one reports that it has run."""
    if last:
        _redis().rpush(DONE, number)


def send(number: int) -> None:
    """One chain; returns when its last step has run."""
    steps = [
        nothing.si(number, place == len(STEPS) - 1).set(queue=queue) for place, queue in enumerate(STEPS)
    ]
    chain(*steps).apply_async()
    if _redis().blpop([DONE], timeout=60) is None:
        raise TimeoutError("the bare chain does not end")


def _redis() -> Any:
    return redis.Redis(unix_socket_path=BROKER.removeprefix("redis+socket://").split("?")[0])
