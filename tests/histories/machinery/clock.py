"""The clocks of a history: they stand still but for a tick at each look, until the history moves them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

START = datetime(2031, 3, 12, 9, 0, tzinfo=UTC)
"""Later than any real start of the database, which recovery compares the present with."""
TICK = timedelta(milliseconds=1)
"""Two things that happen after each other never have the same time."""


class Clock:
    """The database's: its ``now`` stands where ``db.clock`` has its own."""

    def __init__(self) -> None:
        self.moment = START

    def now(self, zone: tzinfo | None = None) -> datetime:
        self.moment += TICK
        return self.moment.astimezone(zone or UTC)

    def seconds(self) -> float:
        """As ``time.monotonic``."""
        return self.moment.timestamp()

    def move(self, by: timedelta) -> None:
        """Let time pass; it never goes back."""
        self.moment += by


class HostClock:
    """That of the host which works now: stands where ``backup.write`` has ``datetime``."""

    def __init__(self, database: Clock) -> None:
        self._database = database
        self.ahead = timedelta()
        """Of the database's, as far as a run puts up with."""

    def now(self, zone: tzinfo | None = None) -> datetime:
        return self._database.now(zone) + self.ahead
