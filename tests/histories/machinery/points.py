"""The points of a process at which it may be struck: each commit, verb of its drive, message sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


class Killed(BaseException):
    """The process is gone. No handler of errors sees it, and whatever runs on its way out does nothing."""


Strike = Callable[[str], None]
"""What happens at a point, which it is told by name; it may raise, as the thing that passes it would."""


Place = tuple[str | None, int]
"""The how-manieth point of this name; None: of any."""


class Plan:
    """What strikes at which points; they are counted over all processes that share the plan."""

    def __init__(self, strikes: Mapping[Place, Strike] | None = None) -> None:
        self._strikes = dict(strikes or {})
        self._passed: Counter[str | None] = Counter()

    @property
    def passed(self) -> int:
        """How many points have been passed."""
        return self._passed[None]

    def at(self, name: str) -> Strike | None:
        """Count a point; what strikes there."""
        kind = name.split()[0]
        self._passed.update([None, kind])
        found = [self._strikes.pop((key, self._passed[key]), None) for key in (None, kind)]
        return next((strike for strike in found if strike), None)

    def postpone(self, strike: Strike) -> None:
        """Strike at the next point instead of this one."""
        self._strikes.setdefault((None, self.passed + 1), strike)


@dataclass
class Process:
    """One process at work."""

    plan: Plan = field(default_factory=Plan)
    struck: bool = False
    """Something has happened to it or beside it."""
    dead: bool = False
    death: Callable[[], None] | None = None
    """What follows from its death for others."""

    def kill(self, death: Callable[[], None] | None = None) -> None:
        """End the process here: everything that it does from now on does nothing."""
        self.dead, self.death = True, death
        raise Killed


class Points:
    """Which process is at work now. One may be interrupted by another, as two run beside each other."""

    def __init__(self) -> None:
        self._working: list[Process] = []

    @property
    def process(self) -> Process | None:
        """The process at work; None: an operator or the test itself."""
        return self._working[-1] if self._working else None

    @contextmanager
    def work(self, process: Process) -> Iterator[Process]:
        """Let a process work for the time of the context."""
        self._working.append(process)
        try:
            yield process
        finally:
            self._working.pop()

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Let others do something in the middle of a process: no point is passed."""
        working, self._working = self._working, []
        try:
            yield
        finally:
            self._working = working

    def at(self, name: str) -> None:
        """Pass a point. Raises Killed in a process that is dead, and whatever strikes it here."""
        process = self.process
        if process is None:
            return
        if process.dead:
            raise Killed
        strike = process.plan.at(name)
        if strike:
            process.struck = True
            strike(name)
