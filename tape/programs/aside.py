"""Another process makes calls that may block for ever (to a source, a mount, a chip), so it can be left
behind.

A process that waits for a dead file server, or in a driver of the kernel, cannot be killed, and a thread that
does takes its whole process with it. So the caller has nothing but a pipe. Run as ``python -m
tape.programs.aside``, it answers until nobody asks any more.
"""

from __future__ import annotations

import errno
import os
import pickle
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, Protocol, TypeVar, cast

from tape.programs.command import Companion
from tape.programs.replies import CONTENT, ERROR, Replies, piece, piece_beside

T = TypeVar("T")

TICK = 0.5
"""Seconds between two calls of the watch while waiting for an answer."""
PIECE = 1 << 20
"""Bytes of a file to request at a time."""
AHEAD = 4
"""So many pieces are requested before the first has arrived."""
_HEAD = 9
"""A letter, and how many bytes follow."""

Wait = Callable[[str, float], None]
"""Called at each tick with the name of what does not answer, and for how many seconds; an exception ends the
wait."""


class Pipe:
    """Reads the output of a process without ever blocking on it."""

    def __init__(self, descriptor: int, wait: Callable[[float], None]) -> None:
        self._descriptor = descriptor
        self._wait = wait
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def read(self, size: int, /) -> bytes:
        """So many bytes; fewer if the process has ended."""
        data = bytearray(size)
        buffer = memoryview(data)
        at = 0
        while at < size:
            count = self.into(buffer[at:])
            if not count:
                break
            at += count
        return bytes(buffer[:at])

    def into(self, buffer: memoryview) -> int:
        """At least one byte; 0 if the process has ended."""
        started = time.monotonic()
        while not self._poll.poll(TICK * 1000):
            self._wait(time.monotonic() - started)
        return os.readv(self._descriptor, (buffer,))


class Eyes(Protocol):
    """Makes calls that may block."""

    wait: Wait | None
    """Called while there is no answer; None: nobody, and nothing can be left behind."""

    def ask(self, function: Callable[..., T], *arguments: Any, about: str) -> T:
        """The return value of a module's function, or its exception. ``about``: the name of the source, for
        people."""
        ...

    def reading(self, descriptor: int, offset: int, length: int, about: str, *, at_once: int = 1) -> Reading:
        """Read a part of a file that was opened there. ``at_once``: so many pieces of it, at most
        ``replies.AT_ONCE``, which helps where each call is waited for."""
        ...

    def close(self, descriptor: int) -> None:
        """Close a file that was opened there."""
        ...


class Reading(Protocol):
    """A part of a file, from its beginning to its end."""

    def into(self, buffer: memoryview) -> int:
        """The next bytes; 0 at the end of the file. Raises OSError."""
        ...


class Aside:
    """Another process, started on first use. As a context manager it is ended, or left behind.

    If it was killed, it is started again; files opened there are lost, and reads of them fail. ``first`` is
    called there before anything else, each time.
    """

    def __init__(self, wait: Wait, first: Callable[[], object] | None = None) -> None:
        self.wait: Wait | None = wait
        self._first = first
        self._call = wait
        self._process: Companion | None = None
        self._pipe: Pipe | None = None
        self._reading: _ReadAside | None = None
        """The last one."""
        self._about = ""

    def __enter__(self) -> Aside:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End the process; if it does not end, it is left behind."""
        if self._process is not None:
            self._process.leave()
            self._process = self._pipe = self._reading = None

    def ask(self, function: Callable[..., T], *arguments: Any, about: str) -> T:
        """A function's return value there. Raises what it raised; OSError if the process has ended."""
        self._leave_what_is_coming()
        self._about = about
        try:
            self._send(function, *arguments)
        except BrokenPipeError:
            # It was killed since its last answer.
            self.end()
            self._send(function, *arguments)
        return cast("T", self._answer())

    def _answer(self) -> Any:
        kind, size = self.head()
        data = self.pipe.read(size)
        if kind == CONTENT:
            self.end()
            raise OSError(errno.EIO, "the process that reads it has answered another question")
        answer = pickle.loads(data)  # noqa: S301 - from our own process, and never the content of a file
        if kind == ERROR:
            raise answer
        return answer

    def reading(self, descriptor: int, offset: int, length: int, about: str, *, at_once: int = 1) -> Reading:
        self._leave_what_is_coming()
        self._about = about
        self._reading = _ReadAside(self, descriptor, offset, length, at_once=at_once)
        return self._reading

    def _leave_what_is_coming(self) -> None:
        """A reading that was broken off has requested more, which answers nothing that is asked next."""
        if self._reading is not None and self._reading.is_coming:
            self.end()

    def close(self, descriptor: int) -> None:
        self._leave_what_is_coming()
        if self._process is not None:
            with suppress(OSError):  # one that has ended has closed all its files
                self.ask(os.close, descriptor, about=self._about)

    def _tick(self, seconds: float) -> None:
        try:
            self._call(self._about, seconds)
        except BaseException:
            # Nobody waits for its answers after that.
            self.end()
            raise

    @property
    def pipe(self) -> Pipe:
        assert self._pipe is not None
        return self._pipe

    def want(self, descriptor: int, offset: int, length: int, *, beside: bool) -> None:
        """Request a piece of a file, read ``beside`` those that were requested before; it comes after them,
        with the next ``head``. Raises OSError."""
        self._send(piece_beside if beside else piece, descriptor, offset, length)

    def head(self) -> tuple[bytes, int]:
        """The kind of the next answer, and its bytes. Raises OSError if the process has ended."""
        head = self.pipe.read(_HEAD)
        if len(head) < _HEAD:
            self.end()
            raise OSError(errno.EIO, "the process that reads it has ended")
        return head[:1], int.from_bytes(head[1:], "little")

    def _send(self, function: Callable[..., Any], *arguments: Any) -> None:
        if self._process is None:
            self._process = Companion("tape.programs.aside")
            self._pipe = Pipe(self._process.stdout.fileno(), self._tick)
            if self._first is not None:
                self._write(self._process, self._first)
                self._answer()
        self._write(self._process, function, *arguments)

    def _write(self, process: Companion, function: Callable[..., Any], *arguments: Any) -> None:
        question = pickle.dumps((function, arguments))
        process.stdin.write(len(question).to_bytes(8, "little") + question)
        process.stdin.flush()


class _ReadAside:
    """Pieces are requested ahead, so that the other process reads while this one works."""

    def __init__(self, aside: Aside, descriptor: int, offset: int, length: int, *, at_once: int) -> None:
        self._aside = aside
        self._at_once = at_once
        self._descriptor = descriptor
        self._next, self._end = offset, offset + length
        self._coming: deque[int] = deque()
        self._left = 0
        self._is_over = False

    @property
    def is_coming(self) -> bool:
        """Whether some of what was requested has not been taken."""
        return bool(self._left or self._coming)

    def into(self, buffer: memoryview) -> int:
        while not self._left:
            if self._is_over:
                self._drop_the_rest()
                return 0
            if not self._wanted():
                return 0
            self._begin()
        count = self._aside.pipe.into(buffer[: self._left])
        if not count:
            self._aside.end()
            raise OSError(errno.EIO, "the process that reads it has ended")
        self._left -= count
        return count

    def _wanted(self) -> bool:
        while len(self._coming) < max(AHEAD, self._at_once) and self._next < self._end:
            length = min(PIECE, self._end - self._next)
            self._aside.want(self._descriptor, self._next, length, beside=self._at_once > 1)
            self._coming.append(length)
            self._next += length
        return bool(self._coming)

    def _begin(self) -> None:
        wanted = self._coming.popleft()
        kind, size = self._aside.head()
        # A short piece is the last one.
        self._is_over = kind == ERROR or size < wanted
        if kind == CONTENT:
            self._left = size
            return
        error = pickle.loads(self._aside.pipe.read(size))  # noqa: S301 - from our own process
        self._drop_the_rest()
        raise error

    def _drop_the_rest(self) -> None:
        """Discard answers to requests beyond the end."""
        while self._coming:
            self._coming.popleft()
            _, size = self._aside.head()
            self._aside.pipe.read(size)


def serve(asked: BinaryIO, answers: BinaryIO) -> None:
    """Answer until there are no more requests."""
    replies = Replies(answers)
    while len(size := asked.read(8)) == 8:
        function, arguments = pickle.loads(asked.read(int.from_bytes(size, "little")))  # noqa: S301 - as above
        replies.to(function, arguments)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        sys.stderr.close()
