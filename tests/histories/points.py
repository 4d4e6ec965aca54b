"""The points of a process at which it may be struck: each commit, verb of its drive, message sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


class Killed(BaseException):
    """The process is gone. No handler of errors sees it, and whatever runs on its way out does nothing."""


Strike = Callable[[str], None]
"""What happens at a point, which it is told by name; it may raise, as the thing that passes it would."""


@dataclass
class Process:
    """One process at work: how many points it has passed, and what strikes it at which."""

    plan: dict[int, Strike] = field(default_factory=dict)
    passed: int = 0
    struck: bool = False
    """Something has happened to it or beside it."""
    dead: bool = False
    death: Callable[[], None] | None = None
    """What follows from its death for others."""

    def kill(self, death: Callable[[], None] | None = None) -> None:
        """End the process here: everything that it does from now on does nothing."""
        self.dead, self.death = True, death
        raise Killed

    def postpone(self, strike: Strike) -> None:
        """Strike at the next point instead of this one."""
        self.plan.setdefault(self.passed + 1, strike)


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
        process.passed += 1
        strike = process.plan.pop(process.passed, None)
        if strike:
            process.struck = True
            strike(name)
