"""The broker's connections: a channel to Redis closes completely if the server vanishes during a read, one to
RabbitMQ does not wait for ever for the confirmation of a message."""

from __future__ import annotations

from typing import Any

from amqp.exceptions import RecoverableConnectionError
from kombu.transport import TRANSPORT_ALIASES, pyamqp, redis

from celery_app.sections import AMQP

UNCONFIRMED = "it confirms no message"
CONFIRM_SECONDS = 10.0
"""How long RabbitMQ may take to confirm a message. It confirms none while its disk or memory is full."""


class RedisChannel(redis.Channel):  # type: ignore[misc]  # kombu has no types
    """A channel of kombu's that never stays half closed."""

    def close(self) -> None:
        """Close the channel; its unacknowledged messages go back to their queue.

        Closing begins with ending a pending read and deleting queues; if that fails, the rest is left undone.
        When the worker closes its connection again later, the channel has lost its transport, and the
        resulting error ends the worker.
        """
        try:
            super().close()
        except redis.Transport.connection_errors:
            # Nothing can be deleted on an unavailable server; a worker that is back declares it again.
            self.auto_delete_queues.clear()
            super().close()


class Transport(redis.Transport):  # type: ignore[misc]  # kombu has no types
    """kombu's Redis transport with our channel."""

    Channel = RedisChannel


class RabbitChannel(pyamqp.Channel):  # type: ignore[misc]
    """A channel whose messages are confirmed in time, or count as not sent."""

    def basic_publish_confirm(self, *args: Any, **kwargs: Any) -> Any:
        """Raises RecoverableConnectionError if there is no confirmation."""
        kwargs["confirm_timeout"] = kwargs.get("confirm_timeout") or CONFIRM_SECONDS
        try:
            return super().basic_publish_confirm(*args, **kwargs)
        except TimeoutError as error:
            raise RecoverableConnectionError(UNCONFIRMED) from error


class RabbitConnection(pyamqp.Connection):  # type: ignore[misc]
    """A connection of such channels."""

    Channel = RabbitChannel


class RabbitTransport(pyamqp.Transport):  # type: ignore[misc]
    """kombu's transport for AMQP with our channel."""

    Connection = RabbitConnection


class RabbitTlsTransport(pyamqp.SSLTransport):  # type: ignore[misc]
    """The same, encrypted."""

    Connection = RabbitConnection


def install() -> None:
    """Have every connection to a broker use these transports, with any form of URL."""
    for alias in ("redis", "rediss"):
        TRANSPORT_ALIASES[alias] = f"{__name__}:Transport"
    for alias, transport in zip(AMQP, (RabbitTransport, RabbitTlsTransport), strict=True):
        TRANSPORT_ALIASES[alias] = f"{__name__}:{transport.__name__}"
