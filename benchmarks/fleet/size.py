"""How large the fleet is, and how often something goes wrong in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

FULL, NIGHTLY = "full", "nightly"
"""The two schedules of a drive: a full backup each Saturday, and increments in all other nights."""
RETENTION_DAYS = {FULL: 35, NIGHTLY: 35}
HOURS = {FULL: 5.0, NIGHTLY: 0.7}
"""How long the median run keeps its drive."""
SPREAD = 0.5
"""Of the logarithm of those hours."""


@dataclass(frozen=True, slots=True)
class FleetSize:
    """The drives, the hosts that they are at, and the days that pass; ``seed``: what chance is made from."""

    drives: int = 100
    hosts: int = 20
    days: int = 365
    seed: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"drive{number:03}" for number in range(self.drives))

    def host_of(self, drive: str) -> str:
        return f"host{int(drive.removeprefix('drive')) % self.hosts:02}"

    def drives_of(self, host: str) -> list[str]:
        return [name for name in self.names if self.host_of(name) == host]

    @property
    def first_day(self) -> datetime:
        """The last day is today: the database's own clock decides what a copy of it leaves out."""
        today = datetime.now(UTC).replace(hour=6, minute=0, second=0, microsecond=0)
        return today - timedelta(days=self.days)


@dataclass(frozen=True, slots=True)
class Chances:
    """How often something goes wrong: for each run that begins to write, or for each day."""

    worker_dies: float = 0.01
    """Of a run: its worker is killed at a random moment."""
    tape_fails: float = 0.01
    """Of a run: the tape has an error of the next kind in turn."""
    source_gone: float = 0.004
    """Of a drive and day: its source is empty, as if nothing was mounted there, until somebody looks."""
    host_dies: float = 0.002
    """Of a host and day: it loses power in the night, and comes back after an hour."""
    broker_away: float = 0.02
    """Of a day: the broker does not answer for an hour of the night."""
    wrong_tape: float = 0.05
    """Of a tape that an operator puts in: it is one that has to be kept."""
