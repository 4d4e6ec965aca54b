"""Processes of our own that read the sources ahead of the writing one: each lists folders and packs small
files, so that several of them are in flight at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from types import TracebackType

from backup.elsewhere import ReadFrom
from backup.entry import shown
from backup.source.lookout import Silence, Unanswered
from backup.source.readahead import worker
from tape.programs.aside import Pipe, Wait
from tape.programs.command import Companion

PROCESSES = 4
"""More readers are threads of so many processes: each process needs 14 MiB or more."""
MOST = 32
"""Readers at once."""
SLOW = ((0.001, MOST), (0.0002, MOST // 2))
"""From so many seconds for one call on, so many readers: most of them only wait."""
FEW = 256
"""For fewer files a process is not worth its start."""


def readers_for(seconds: float, least: int) -> int:
    """How many readers are worth it where a call takes so long; ``least`` where it is quick. Processes cannot
    be left behind where ``least`` is 0."""
    return next((max(count, least) for slow, count in SLOW if seconds >= slow and least), least)


class Helpers:
    """So many readers, once they are worth it. As a context manager it ends their processes.

    A killed process gets no more requests; the caller does the work itself. One that waits for a share that
    was given up is left behind, and another takes its place. ``rules``: what they read elsewhere
    than it is named.
    """

    def __init__(self, count: int, wait: Wait | None = None, rules: Sequence[ReadFrom] = ()) -> None:
        self._rules = [part for rule in rules for part in rule]
        self.count = min(count, PROCESSES)
        self._threads = -(-count // PROCESSES) if count > PROCESSES else 1
        # Where each call is waited for, even a few files are worth it.
        self._few = FEW if self._threads == 1 else 1
        self._wait = wait
        self._pipes: dict[Companion, Pipe] = {}
        self._asked: dict[Companion, deque[list[bytes]]] = {}
        self._stack = ExitStack()
        self._has_started = False
        self.running: list[Companion] = []

    def __enter__(self) -> Helpers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for helper in self._pipes:
            # It may wait for a source for ever; nobody else does.
            helper.leave()
        self._stack.close()

    def start_for(self, files: int) -> None:
        """So many files are to be inspected."""
        if self._has_started or files < self._few:
            return
        self._has_started = True
        with suppress(OSError):  # the host can start no more just now: those that exist must do
            while len(self.running) < self.count:
                self._start()

    def _start(self) -> None:
        """Raises OSError."""
        helper = self._stack.enter_context(Companion(worker.__name__, str(self._threads)))
        if self._rules:
            worker.ask(helper.stdin, worker.RequestKind.ELSEWHERE, self._rules)
        self.running.append(helper)
        self._asked[helper] = deque()
        if self._wait is not None:
            self._pipes[helper] = Pipe(helper.stdout.fileno(), partial(self._stands_still, helper))

    def _stands_still(self, helper: Companion, seconds: float) -> None:
        assert self._wait is not None
        paths = self._asked[helper][0]
        if isinstance(self._wait, Silence):
            self._wait.for_one_of(paths, seconds)
        else:
            self._wait(shown(paths[0]), seconds)

    def ask(self, helper: Companion, question: worker.RequestKind, paths: list[bytes]) -> bool:
        """Send a request to one of the running processes; returns whether it is still there."""
        try:
            worker.ask(helper.stdin, question, paths)
            self._asked[helper].append(paths)
        except OSError:
            self._lost(helper)
            return False
        return True

    def leaves_out(self, path: bytes) -> bool:
        """Whether a path is on a share that does not answer, so that nobody should be asked for it."""
        return isinstance(self._wait, Silence) and self._wait.is_given_up(path)

    def answer(self, helper: Companion) -> worker.Reply | None:
        """The answer to the oldest request of this process; None if it has ended before."""
        if helper not in self.running:
            return None
        try:
            answer = worker.answer(self._pipes.get(helper, helper.stdout))
        except Unanswered:
            self._lost(helper)
            helper.leave()
            with suppress(OSError):  # the host can start no more just now: the others must do
                self._start()
            return None
        except (EOFError, OSError):
            self._lost(helper)
            return None
        self._asked[helper].popleft()
        return answer

    def _lost(self, helper: Companion) -> None:
        if helper in self.running:
            self.running.remove(helper)
