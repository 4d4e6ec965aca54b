"""The answers of a process that makes calls for another one (``tape.programs.aside``): in the order of the
requests, also where several pieces of a file are read at once."""

from __future__ import annotations

import os
import pickle
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, BinaryIO

ANSWER, ERROR, CONTENT = b"a", b"e", b"d"
"""The kinds of answers: what a function returned, what it raised, bytes of a file."""
AT_ONCE = 8
"""So many pieces of a file are read at once: more gain nothing on a share whose calls take 2 ms."""

KindAndData = tuple[bytes, "bytes | memoryview"]
"""An answer: its kind, and its bytes."""


def piece(descriptor: int, offset: int, length: int) -> memoryview:
    """Exactly so many bytes of a file, fewer only at its end. Raises OSError."""
    buffer = memoryview(bytearray(length))
    at = 0
    while at < length and (count := os.preadv(descriptor, (buffer[at:],), offset + at)):
        at += count
    return buffer[:at]


def piece_beside(descriptor: int, offset: int, length: int) -> memoryview:
    """The same, while the pieces that were requested with it are read."""
    return piece(descriptor, offset, length)


class Replies:
    """Makes the calls and sends their answers. Whoever asks bounds the memory: each piece that it has
    requested and not taken is held here.

    Threads exist only once pieces are to be read beside each other: a call that never returns then stops no
    more than it would without them, since whoever asks kills the process.
    """

    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers
        self._readers: ThreadPoolExecutor | None = None
        self._due: queue.SimpleQueue[Future[KindAndData]] = queue.SimpleQueue()

    def to(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Answer a request. Raises BrokenPipeError."""
        if function is piece_beside:
            self._due.put(self._beside().submit(_called, function, arguments))
        elif self._readers is None:
            self._send(*_called(function, arguments))
        else:
            done: Future[KindAndData] = Future()
            done.set_result(_called(function, arguments))
            self._due.put(done)

    def _beside(self) -> ThreadPoolExecutor:
        if self._readers is None:
            self._readers = ThreadPoolExecutor(AT_ONCE)
            threading.Thread(target=self._send_what_is_due, daemon=True).start()
        return self._readers

    def _send_what_is_due(self) -> None:
        with suppress(BrokenPipeError):  # whoever asked is gone, and its requests end, too
            while True:
                self._send(*self._due.get().result())

    def _send(self, kind: bytes, data: bytes | memoryview) -> None:
        self._answers.write(kind + len(data).to_bytes(8, "little"))
        self._answers.write(data)
        self._answers.flush()


def _called(function: Callable[..., Any], arguments: tuple[Any, ...]) -> KindAndData:
    try:
        answer = function(*arguments)
    except Exception as error:  # noqa: BLE001 - whoever asked gets it
        return ERROR, pickle.dumps(error)
    return (CONTENT, answer) if isinstance(answer, memoryview) else (ANSWER, pickle.dumps(answer))
