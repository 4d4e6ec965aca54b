"""The channel of a history: what operators were sent, and how often a message may have come twice."""

from __future__ import annotations

from collections import Counter

from notify.notice import Notice


class Mailbox:
    """Takes every message. One whose sender dies or sleeps before it has noted that may come once more."""

    name = "mailbox"

    def __init__(self) -> None:
        self.empty()

    def empty(self) -> None:
        """No message was sent."""
        self.sent: Counter[str] = Counter()
        self.doubtful: Counter[str] = Counter()
        self.paused = 0
        """How often somebody slept for longer than the lease of what it delivers."""
        self._unconfirmed: str | None = None

    def send(self, notice: Notice) -> None:
        self.sent[notice.title] += 1
        self._unconfirmed = notice.title

    def confirmed(self) -> None:
        """The sender has noted that the last message went out."""
        self._unconfirmed = None

    def struck(self) -> None:
        """Somebody is struck; the sender of the last message may not know that it went out."""
        if self._unconfirmed:
            self.doubtful[self._unconfirmed] += 1
            self._unconfirmed = None
