"""Redis as the broker, with a channel that closes completely when the server has gone away in mid-read."""

from __future__ import annotations

from kombu.transport import TRANSPORT_ALIASES, redis


class Channel(redis.Channel):  # type: ignore[misc]  # kombu has no types
    """A channel of kombu's that never stays half closed."""

    def close(self) -> None:
        """Close the channel; its messages that were not acknowledged go back to their queue.

        Closing begins by ending a read that is under way and deleting queues, and when that fails the rest is
        left undone. The worker closes its connection again later, the channel has lost its transport by then,
        and the error that follows ends the worker.
        """
        try:
            super().close()
        except redis.Transport.connection_errors:
            # Nothing can be deleted on a server that is away; a worker that is back declares it again.
            self.auto_delete_queues.clear()
            super().close()


class Transport(redis.Transport):  # type: ignore[misc]  # kombu has no types
    """kombu's Redis transport with our channel."""

    Channel = Channel


def install() -> None:
    """Have every connection to a Redis use this transport, whatever its URL looks like."""
    for alias in ("redis", "rediss"):
        TRANSPORT_ALIASES[alias] = f"{__name__}:Transport"
