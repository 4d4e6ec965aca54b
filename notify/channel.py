"""A channel: what delivers a notice to an operator, and how it may fail."""

from __future__ import annotations

from typing import Protocol

from notify.notice import Notice
from policy.errors import Consequence, TapelineError
from policy.message import Message


class ChannelUnavailable(TapelineError):
    """The channel did not accept the notice now; it is tried again with back-off."""

    consequence = Consequence.RETRY


class RateLimited(ChannelUnavailable):
    """The channel accepts no more notices for ``retry_after`` seconds."""

    def __init__(self, message: Message, remedy: Message | None = None, *, retry_after: float) -> None:
        super().__init__(message, remedy)
        self.retry_after = retry_after


class ChannelRefused(TapelineError):
    """The channel will never accept this notice with its present settings; somebody has to change them.

    Like every failure of a channel it is recorded at the notice and never fails a run.
    """


class BrokenChannel:
    """A channel that could not be made from its settings. Its messages wait until the settings are right."""

    def __init__(self, name: str, error: TapelineError) -> None:
        self.name = name
        self.error = error

    def send(self, notice: Notice) -> None:
        """Raises ChannelUnavailable, with what is wrong with the settings."""
        del notice
        raise ChannelUnavailable(self.error.message, self.error.remedy) from self.error


class Channel(Protocol):
    """Delivers a notice. A channel never waits and never retries: its caller does."""

    name: str
    """Its name in the settings and in the record of deliveries."""

    def send(self, notice: Notice) -> None:
        """Deliver the notice, or raise ChannelUnavailable, RateLimited or ChannelRefused."""
