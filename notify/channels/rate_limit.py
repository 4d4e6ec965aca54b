"""At most so many messages in so many seconds."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from threading import Lock

from notify.channel import RateLimited
from policy.message import M


class RateLimit:
    """A sliding window over a monotonic clock. Never waits: a caller that is too early gets the seconds to
    wait."""

    def __init__(
        self,
        messages: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        ages: Iterable[float] = (),
        closed_for: float = 0.0,
    ) -> None:
        """``ages``: seconds since each recent message of another process, the oldest first. ``closed_for``:
        for how many more seconds the other side accepts none."""
        self._messages = messages
        self._seconds = seconds
        self._clock = clock
        self._taken: deque[float] = deque(clock() - age for age in ages)
        self._closed_until = clock() + closed_for if closed_for else -math.inf
        self._lock = Lock()

    def take(self) -> None:
        """Count one message, or raise RateLimited with the seconds until the next one may be sent."""
        with self._lock:
            wait = self._wait()
            if wait <= 0:
                self._taken.append(self._clock())
                return
        raise RateLimited(
            M("The channel takes no more messages for {seconds} s.", seconds=math.ceil(wait)),
            M("A run's message is sent then by itself; a test is not: send it again."),
            retry_after=wait,
        )

    def close(self, seconds: float) -> None:
        """Let nothing through for so many seconds, because the other side asked for that."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock() + seconds)

    def _wait(self) -> float:
        now = self._clock()
        while self._taken and now - self._taken[0] >= self._seconds:
            self._taken.popleft()
        full_for = self._taken[0] + self._seconds - now if len(self._taken) >= self._messages else 0.0
        return max(full_for, self._closed_until - now)
