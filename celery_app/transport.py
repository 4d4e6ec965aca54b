"""Redis as the broker, with a channel that closes completely if the server vanishes during a read."""

from __future__ import annotations

from kombu.transport import TRANSPORT_ALIASES, redis


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


def install() -> None:
    """Have every connection to a Redis use this transport, with any form of URL."""
    for alias in ("redis", "rediss"):
        TRANSPORT_ALIASES[alias] = f"{__name__}:Transport"
