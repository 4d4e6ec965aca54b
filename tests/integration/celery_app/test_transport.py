"""The broker's transport, with a Redis that goes away."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from kombu import Connection, Consumer, Exchange, Queue
from kombu.transport import redis

from celery_app.transport import Transport
from embedded.redis import Redis


@pytest.mark.parametrize(
    "used",
    [
        # When this one passes, ours is not needed any more.
        pytest.param(redis.Transport, id="kombu's", marks=pytest.mark.xfail(raises=AttributeError)),
        pytest.param(Transport, id="ours"),
    ],
)
def test_a_connection_closes_although_its_server_died_in_mid_read(short_path: Path, used: type) -> None:
    """A worker closes twice: with a read under way, a message not acknowledged, and a queue of its own for
    remote control, neither is an error."""
    server = Redis(short_path)
    server.start()
    connection = Connection(server.url)
    connection.transport_cls = used
    queue = Queue("q", Exchange("q"), "q")
    with connection.SimpleQueue(queue) as simple:
        simple.put("a message")
    channel = connection.default_channel
    process = psutil.Process(channel.client.info("server")["process_id"])
    got: list[object] = []
    consumer = Consumer(channel, [queue], callbacks=[lambda body, _: got.append(body)])
    consumer.consume()
    while not got:
        connection.drain_events(timeout=10)
    control = connection.channel()
    Consumer(control, [Queue("c", Exchange("c", type="fanout"), auto_delete=True)]).consume()
    control.client.ping()
    channel._brpop_start()
    process.kill()
    process.wait(10)
    connection.collect()
    connection.close()
