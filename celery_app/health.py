"""Whether the broker answers and stores what it receives, and which workers listen to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amqp.exceptions import AMQPError
from celery.beat import NODENAME_DEFAULT as BEAT
from kombu import Connection
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from celery_app import settings, transport
from celery_app.config import broker_url, celery_config, is_amqp, transport_options
from celery_app.transport import UNCONFIRMED
from policy.errors import TapelineError
from policy.message import M

PROBE_SECONDS = 10
"""How long a test value stays in Redis."""
CONNECT_SECONDS = 3


class BrokerUnavailable(TapelineError):
    """The broker does not answer."""


def check_broker() -> None:
    """Raises BrokerUnavailable unless the broker answers."""
    with _connected() as connection:
        if not is_rabbit():
            connection.default_channel.client.ping()


def is_rabbit() -> bool:
    """Whether the broker is RabbitMQ."""
    return is_amqp(broker_url(settings.load()))


def broker_facts() -> dict[str, Any]:
    """Redis's version and persistence. Raises BrokerUnavailable."""
    with _connected() as connection:
        client = connection.default_channel.client
        # CONFIG would report it as well, and also the password: it is for administrators only.
        server, kept, memory = (client.info(part) for part in ("server", "persistence", "memory"))
    return {
        "version": server.get("redis_version"),
        "append_only": bool(kept.get("aof_enabled")),
        "eviction": memory.get("maxmemory_policy"),
    }


def rabbit_version() -> str:
    """RabbitMQ's version; it reports nothing else to those who are no administrators. Raises
    BrokerUnavailable."""
    with _connected() as connection:
        return str(connection.connection.server_properties.get("version", ""))


def check_writable() -> None:
    """Store something that expires. Raises BrokerUnavailable if the broker accepts nothing."""
    with _connected() as connection:
        channel = connection.default_channel
        if is_rabbit():
            name = channel.queue_declare(exclusive=True).queue
            message = channel.prepare_message("doctor", content_encoding="utf-8")
            channel.basic_publish(message, routing_key=name, confirm_timeout=CONNECT_SECONDS)
        else:
            channel.client.set("doctor", "1", ex=PROBE_SECONDS)


def ping(nodes: list[str] | None = None, timeout: float = 1.5) -> list[str]:
    """The names of the workers that answer now, of all or of some. Raises BrokerUnavailable."""
    from celery_app.celery import app  # noqa: PLC0415 - loading Celery takes half a second

    check_broker()
    try:
        answers = app.control.ping(destination=nodes, timeout=timeout) or []
    except _ERRORS as error:
        raise _unavailable(error) from error
    return sorted(name for answer in answers for name in answer)


def workers(timeout: float = 1.5) -> list[str]:
    """The names of the workers that answer now. Raises BrokerUnavailable."""
    return [name for name in ping(timeout=timeout) if not name.startswith(f"{BEAT}@")]


def queues(timeout: float = 1.5) -> dict[str, list[str]]:
    """The queues that have workers now, each with their names. Raises BrokerUnavailable."""
    from celery_app.celery import app  # noqa: PLC0415 - loading Celery takes half a second

    check_broker()
    try:
        answers = app.control.inspect(timeout=timeout).active_queues() or {}
    except _ERRORS as error:
        raise _unavailable(error) from error
    by_queue: dict[str, list[str]] = {}
    for node, consumed in sorted(answers.items()):
        for queue in consumed:
            by_queue.setdefault(queue["name"], []).append(node)
    return by_queue


def _unavailable(error: Exception) -> BrokerUnavailable:
    reason = str(error)
    if any(word in reason for word in ("SSL", "certificate")):
        return BrokerUnavailable(
            M("The encrypted connection to the broker fails: {reason}", reason=reason),
            M("Check broker_url, the files of broker_tls, and the name in the server's certificate."),
        )
    if any(word in reason for word in _REFUSED):
        return BrokerUnavailable(
            M("The broker refuses this host's user: {reason}", reason=reason),
            M("Correct user and password in broker_url."),
        )
    if any(word in reason for word in ("OOM", "maxmemory")):
        return BrokerUnavailable(
            M("Redis is full and takes no messages: {reason}", reason=reason),
            M("Raise 'maxmemory' in its configuration, or make room in it."),
        )
    if any(word in reason for word in ("READONLY", "read only", "MISCONF")):
        return BrokerUnavailable(
            M("Redis takes no messages: {reason}", reason=reason),
            M("Set broker_url to the Redis that is written to, and see that its disk has room."),
        )
    return _rabbit_trouble(reason) or BrokerUnavailable(
        M("The broker does not answer."), M("Start it with 'tapeline up', or check the setting broker_url.")
    )


def _rabbit_trouble(reason: str) -> BrokerUnavailable | None:
    if "NOT_ALLOWED" in reason:
        return BrokerUnavailable(
            M("RabbitMQ refuses this host: {reason}", reason=reason),
            M(
                "Correct the virtual host at the end of broker_url, or allow its user to use it:"
                " rabbitmqctl set_permissions."
            ),
        )
    if UNCONFIRMED in reason:
        return BrokerUnavailable(
            M("RabbitMQ takes no messages: its disk or memory is full."),
            M("Make room: rabbitmq-diagnostics alarms shows where."),
        )
    return None


_ERRORS = (OperationalError, OSError, RedisError, AMQPError)
_REFUSED = ("WRONGPASS", "NOAUTH", "NOPERM", "username-password", "ACCESS_REFUSED")


@contextmanager
def _connected() -> Iterator[Connection]:
    """A connection to the broker. Raises BrokerUnavailable, for what is done with it as well."""
    url = broker_url(settings.load())
    options = transport_options(url, CONNECT_SECONDS)
    tls = celery_config(settings.load())["broker_use_ssl"]
    transport.install()
    try:
        with Connection(url, transport_options=options, ssl=tls or False) as connection:
            connection.ensure_connection(max_retries=1, timeout=CONNECT_SECONDS)
            try:
                yield connection
            except _ERRORS:
                # A RabbitMQ that is full does not answer a polite goodbye.
                connection.collect()
                raise
    except _ERRORS as error:
        raise _unavailable(error) from error
