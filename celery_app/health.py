"""Whether the broker answers and stores what it receives, and which workers listen to it."""

from __future__ import annotations

from typing import Any

from celery.beat import NODENAME_DEFAULT as BEAT
from kombu import Connection
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from celery_app import settings
from celery_app.config import broker_url, celery_config
from policy.errors import TapelineError
from policy.message import M

PROBE_SECONDS = 10
"""How long a test value stays in Redis."""


class BrokerUnavailable(TapelineError):
    """The broker does not answer."""


def check_broker() -> None:
    """Raises BrokerUnavailable unless the broker answers."""
    try:
        with _connection() as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
            connection.default_channel.client.ping()
    except (OperationalError, OSError, RedisError) as error:
        raise _unavailable(error) from error


def broker_facts() -> dict[str, Any]:
    """Redis's version and persistence. Raises BrokerUnavailable."""
    try:
        with _connection() as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
            client = connection.default_channel.client
            # CONFIG would report it as well, and also the password: it is for administrators only.
            server, kept, memory = (client.info(part) for part in ("server", "persistence", "memory"))
    except (OperationalError, OSError, RedisError) as error:
        raise _unavailable(error) from error
    return {
        "version": server.get("redis_version"),
        "append_only": bool(kept.get("aof_enabled")),
        "eviction": memory.get("maxmemory_policy"),
    }


def check_writable() -> None:
    """Write a value that expires. Raises BrokerUnavailable if Redis accepts nothing."""
    try:
        with _connection() as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
            connection.default_channel.client.set("doctor", "1", ex=PROBE_SECONDS)
    except (OperationalError, OSError, RedisError) as error:
        raise _unavailable(error) from error


def ping(nodes: list[str] | None = None, timeout: float = 1.5) -> list[str]:
    """The names of the workers that answer now, of all or of some. Raises BrokerUnavailable."""
    from celery_app.celery import app  # noqa: PLC0415 - loading Celery takes half a second

    check_broker()
    try:
        answers = app.control.ping(destination=nodes, timeout=timeout) or []
    except (OperationalError, OSError, RedisError) as error:
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
    except (OperationalError, OSError, RedisError) as error:
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
    if any(word in reason for word in ("WRONGPASS", "NOAUTH", "NOPERM", "username-password")):
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
    return BrokerUnavailable(
        M("The broker does not answer."), M("Start it with 'tapeline up', or check the setting broker_url.")
    )


def _connection() -> Connection:
    config = celery_config(settings.load())
    options = {**config["broker_transport_options"], "socket_connect_timeout": 3}
    return Connection(
        broker_url(settings.load()), transport_options=options, ssl=config["broker_use_ssl"] or False
    )
