"""One supervised program: how to start it, and the life of its process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from embedded import logs
from embedded.folders import translated
from policy.errors import TapelineError
from policy.message import M, Message
from policy.times import backoff
from tape.programs import command

FIRST_DELAY = timedelta(seconds=1)
MAX_DELAY = timedelta(seconds=30)
STEADY_AFTER = 60.0
"""Seconds of running after which an earlier failure no longer counts."""
KILL_LIMIT = 10.0
LOOK_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class Program:
    """A program to keep running; ``stop_limit`` is in seconds, from the first signal to the kill."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    stop_limit: float = 30.0
    together: str | None = None
    """All programs with the same name here are asked to end before the first of them is waited for."""


class ProgramEventKind(StrEnum):
    """What happened to a program."""

    STARTED = "started"
    """It was started, or started again."""
    DIED = "died"
    """It ended unasked, or could not be started again; it will be tried again."""
    STOPPING = "stopping"
    """It was asked to end."""
    STOPPED = "stopped"
    """It ended when it was asked to."""
    KILLED = "killed"
    """It did not end within its limit and was killed with its group."""
    LEFT_BEHIND = "left_behind"
    """An earlier supervisor had left it behind; it was ended."""


@dataclass(frozen=True, slots=True)
class ProgramEvent:
    """One line for the operator about one program."""

    name: str
    kind: ProgramEventKind
    pid: int | None
    text: Message


Tell = Callable[[ProgramEvent], None]
"""Shows an event; must not raise, and must be quick, because nothing is watched meanwhile."""


@dataclass(slots=True)
class Watched:
    """A program and its present process."""

    program: Program
    log: Path
    note: Callable[[int], None]
    """Keeps the id of a started process, before anything is reported about it."""
    process: command.RunningProgram | None = None
    _failures: int = 0
    _started_at: float = 0.0
    _next_start: float = 0.0
    _asked_at: float | None = None

    def start(self, tell: Tell) -> None:
        """Start it. Raises what tape.programs.command raises, and StateFolderUnusable."""
        with translated(self.log):
            logs.rotate(self.log)
        self.process = command.spawn(list(self.program.argv), log=self.log, env=self.program.env)
        try:
            self.note(self.process.pid)
        except TapelineError:
            # Without a note nobody would find it if this supervisor were killed.
            self.stop(tell)
            raise
        self._started_at = time.monotonic()
        self._tell(tell, ProgramEventKind.STARTED, M("Started as process {pid}.", pid=self.process.pid))

    def look(self, tell: Tell) -> None:
        """Check it; start it again when the time has come."""
        if self.process is None:
            if time.monotonic() >= self._next_start:
                self._start_again(tell)
            return
        code = self.process.poll()
        if code is not None:
            if time.monotonic() - self._started_at > STEADY_AFTER:
                self._failures = 0
            # Its group is left running: a program that a worker started may still be using a tape.
            delay = self._put_off()
            text = M(
                "Ended with {code}; starts again in {delay:.0f} s, see {log}.",
                code=code,
                delay=delay,
                log=str(self.log),
            )
            self._tell(tell, ProgramEventKind.DIED, text)
            self.process = None

    def _start_again(self, tell: Tell) -> None:
        try:
            self.start(tell)
        except TapelineError as error:
            self._put_off()
            self._tell(tell, ProgramEventKind.DIED, error.message)

    def _put_off(self) -> float:
        """Seconds until it is started again: twice as long after each consecutive failure."""
        self._failures += 1
        delay = backoff.pause(FIRST_DELAY, self._failures, MAX_DELAY).total_seconds()
        self._next_start = time.monotonic() + delay
        return delay

    def ask_to_end(self, tell: Tell) -> None:
        """Start its limit; once."""
        if self.process is None or self._asked_at is not None:
            return
        self._asked_at = time.monotonic()
        if self.process.poll() is None:
            limit = self.program.stop_limit
            text = M("Stopping process {pid}; it has up to {limit:.0f} s.", pid=self.process.pid, limit=limit)
            self._tell(tell, ProgramEventKind.STOPPING, text)
            self.process.terminate()

    def stop(self, tell: Tell) -> None:
        """End it: ask first, kill it with its group after its limit."""
        self.ask_to_end(tell)
        if self.process is None or self._asked_at is None:
            return
        if self._ends_by(self._asked_at + self.program.stop_limit):
            self._tell(tell, ProgramEventKind.STOPPED, M("Stopped."))
        else:
            self.process.kill()
            self._ends_by(time.monotonic() + KILL_LIMIT)
            limit = self.program.stop_limit
            self._tell(
                tell,
                ProgramEventKind.KILLED,
                M("Did not stop within {limit:.0f} s and was killed.", limit=limit),
            )
        self.process = self._asked_at = None

    def _ends_by(self, deadline: float) -> bool:
        while self.process is not None and self.process.poll() is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_EVERY)
        return True

    def _tell(self, tell: Tell, kind: ProgramEventKind, text: Message) -> None:
        tell(ProgramEvent(self.program.name, kind, self.process.pid if self.process else None, text))
