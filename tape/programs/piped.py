"""A program whose output is data: read as it comes, in constant memory; its messages are kept apart."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from policy.message import M
from tape.errors import DriveError
from tape.programs import command
from tape.programs.command import PLATFORM_ENCODING, Completed
from tape.programs.output import Output, output_file

BLOCK = 1 << 20
AHEAD = 4
"""How many blocks are read ahead."""
PAUSE = 0.2
LEFT_OPEN_SECONDS = 10.0
"""How long to wait for the end of the output after that of the program: a child may have it open."""


class OutputLeftOpen(DriveError):
    """A program has ended, but another process still has its output open: nobody knows whether it is
    whole."""


class Piped:
    """A running program, and what it prints."""

    def __init__(
        self,
        argv: tuple[str, ...],
        process: Any,
        messages: Output,
        limit: float,
        watch: Callable[[], None] | None,
    ) -> None:
        self._argv = argv
        self._process = process
        self._messages = messages
        self._limit = limit
        self._started = time.monotonic()
        self._watch = watch
        self._ended_at: float | None = None
        self._blocks: queue.Queue[bytes | OSError] = queue.Queue(AHEAD)
        self._rest = b""
        self._is_left = threading.Event()
        self._thread = threading.Thread(target=self._pump, args=(process.stdout,), daemon=True)
        self._thread.start()

    def read(self, most: int) -> bytes:
        """Some of its output; ``b""`` at the end. Raises CommandTimeout, OutputLeftOpen, OSError, and what
        ``watch`` raises."""
        if not self._rest:
            self._rest = self._next()
        part, self._rest = self._rest[:most], self._rest[most:]
        if not part:
            self._blocks.put(b"")  # whoever asks again gets the same answer
        return part

    def finish(self) -> Completed:
        """Wait for its end after that of its output. Raises CommandTimeout, and what ``watch`` raises."""
        while (code := self._process.poll()) is None:
            self._look_up()
            time.sleep(0.01)
        self._messages.finish()
        seconds = time.monotonic() - self._started
        return Completed(self._argv, code, seconds, self._messages.text)

    def leave(self) -> None:
        """Nobody reads on."""
        self._is_left.set()
        while True:
            try:
                self._blocks.get_nowait()
            except queue.Empty:
                break
        self._thread.join(LEFT_OPEN_SECONDS)
        if not self._thread.is_alive():
            self._process.stdout.close()

    def _next(self) -> bytes:
        while True:
            try:
                block = self._blocks.get(timeout=PAUSE)
            except queue.Empty:
                self._look_up()
                self._check_open()
                continue
            if isinstance(block, OSError):
                raise block
            self._look_up()
            return block

    def _check_open(self) -> None:
        if self._process.poll() is None:
            return
        self._ended_at = self._ended_at or time.monotonic()
        if time.monotonic() - self._ended_at > LEFT_OPEN_SECONDS:
            raise OutputLeftOpen(
                M("{program} ended, and another process still has its output open.", program=self._argv[0]),
                M("Let it wait for the processes that it starts."),
            )

    def _look_up(self) -> None:
        if self._watch is not None:
            self._watch()
        while self._messages.follow():
            pass
        seconds = time.monotonic() - self._started
        if seconds > self._limit:
            ended = command.end(self._process)
            raise command.timed_out(self._argv, self._limit, seconds, self._messages, ended=ended)

    def _pump(self, pipe: IO[bytes]) -> None:
        block: bytes | OSError = b"-"
        while block and not isinstance(block, OSError) and not self._is_left.is_set():
            try:
                # A pipe is unbuffered here: this returns what there is.
                block = pipe.read(BLOCK)
            except (OSError, ValueError) as error:
                block = error if isinstance(error, OSError) else OSError(str(error))
            while not self._is_left.is_set():
                try:
                    self._blocks.put(block, timeout=PAUSE)
                except queue.Full:
                    continue
                break


@contextmanager
def piped(
    argv: Sequence[str],
    *,
    limit: float,
    env: Mapping[str, str] | None = None,
    hidden: str | None = None,
    inherit: Sequence[int] = (),
    watch: Callable[[], None] | None = None,
    user: int | None = None,
    group: int | None = None,
) -> Iterator[Piped]:
    """Start a program; the end of the context ends it. The arguments are those of ``command.run``.

    Raises CommandNotFound, CommandNotStarted, DriveError.
    """
    started = time.monotonic()
    with output_file() as (written, read), command.until(started + limit):
        process = command.start(
            argv,
            written,
            cwd=None,
            env=command.environment(env, hidden),
            inherit=inherit,
            user=user,
            group=group,
            bound=True,
            is_data=True,
        )
        running = Piped(tuple(argv), process, Output(written, read, PLATFORM_ENCODING, None), limit, watch)
        with command.bound(process):
            try:
                yield running
            finally:
                command.end(process)
                running.leave()
