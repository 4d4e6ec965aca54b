"""Send one notice within a total time, even if the channel hangs."""

from __future__ import annotations

import queue
import threading

import structlog

from notify.channel import Channel, ChannelUnavailable
from notify.notice import Notice
from policy.errors import TapelineError
from policy.message import M

log = structlog.get_logger("tapeline.notify")

SECONDS = 30.0
"""How long a channel may take for one notice, from resolving its host name to the last byte of its answer."""


def send(channel: Channel, notice: Notice, seconds: float = SECONDS) -> TapelineError | None:
    """Have a channel deliver a notice; returns why it did not. Raises nothing.

    A service that answers one byte at a time stays within every time-out of a socket. So a thread sends, and
    is left behind at the end of the time.
    """
    answers: queue.SimpleQueue[TapelineError | None] = queue.SimpleQueue()
    threading.Thread(
        target=lambda: answers.put(_ask(channel, notice)), name=f"channel-{channel.name}", daemon=True
    ).start()
    try:
        error = answers.get(timeout=seconds)
    except queue.Empty:
        error = ChannelUnavailable(
            M(
                "The answer of channel '{name}' was not complete after {seconds} s.",
                name=channel.name,
                seconds=round(seconds),
            ),
            M("See that the service at its address is the right one and works."),
        )
    if error is not None:
        log.warning("a channel did not take a message", channel=channel.name, error=str(error))
    return error


def _ask(channel: Channel, notice: Notice) -> TapelineError | None:
    try:
        channel.send(notice)
    except TapelineError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a library's error must cost neither the others nor a run
        # Its text may contain the address, and with it a password.
        return ChannelUnavailable(
            M("Channel '{name}' fails ({kind}).", name=channel.name, kind=type(error).__name__),
            M("Check its address in the settings."),
        )
    return None
