"""Processes of our own that look at the sources ahead of the one that writes: each lists folders and packs
small files, so that several of them are in flight at once."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from types import TracebackType

from backup import reader
from tape.command import Companion

FEW = 256
"""So few files are not worth a process."""


class Helpers:
    """So many processes, once they are worth it. As a context it ends them.

    One that was killed is not asked any more; whoever asked does it for himself.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._stack = ExitStack()
        self._has_started = False
        self.running: list[Companion] = []

    def __enter__(self) -> Helpers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start_for(self, files: int) -> None:
        """So many files are to be looked at."""
        if self._has_started or files < FEW:
            return
        self._has_started = True
        with suppress(OSError):  # the host can start no more just now: with as many as there are, or none
            while len(self.running) < self.count:
                self.running.append(self._stack.enter_context(Companion("backup.reader")))

    def ask(self, helper: Companion, question: reader.Question, paths: list[bytes]) -> bool:
        """Ask one of those that run; whether it is still there."""
        try:
            reader.ask(helper.stdin, question, paths)
        except OSError:
            self._lost(helper)
            return False
        return True

    def answer(self, helper: Companion) -> reader.Answer | None:
        """The answer to what this one was asked first; None when it has ended before."""
        try:
            return reader.answer(helper.stdout)
        except (EOFError, OSError):
            self._lost(helper)
            return None

    def _lost(self, helper: Companion) -> None:
        if helper in self.running:
            self.running.remove(helper)
