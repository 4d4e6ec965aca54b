"""Whether the broker answers, keeps what it is given, and which workers listen to it."""

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
    """What Redis says of its version and its persistence. Raises BrokerUnavailable."""
    try:
        with _connection() as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
            client = connection.default_channel.client
            # CONFIG would say it as well, and the password besides: it is for administrators alone.
            server, kept, memory = (client.info(part) for part in ("server", "persistence", "memory"))
    except (OperationalError, OSError, RedisError) as error:
        raise _unavailable(error) from error
    return {
        "version": server.get("redis_version"),
        "append_only": bool(kept.get("aof_enabled")),
        "eviction": memory.get("maxmemory_policy"),
    }


def workers(timeout: float = 1.5) -> list[str]:
    """The names of the workers that answer now. Raises BrokerUnavailable."""
    from celery_app.celery import app  # noqa: PLC0415 - loading Celery takes half a second

    broker_facts()
    answered = [name for answer in app.control.ping(timeout=timeout) or [] for name in answer]
    return sorted(name for name in answered if not name.startswith(f"{BEAT}@"))


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
    return BrokerUnavailable(
        M("The broker does not answer."), M("Start it with 'tapeline up', or check the setting broker_url.")
    )


def _connection() -> Connection:
    config = celery_config(settings.load())
    options = {**config["broker_transport_options"], "socket_connect_timeout": 3}
    return Connection(
        broker_url(settings.load()), transport_options=options, ssl=config["broker_use_ssl"] or False
    )
