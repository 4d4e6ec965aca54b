"""A process that reads the sources: requests come in, answers go out, in their order.

Run as ``python -m backup.source.readahead.worker THREADS``: with several it has as many files of a request in
flight at once. It ends when no more requests come; its owner handles a
Ctrl-C.
"""

from __future__ import annotations

import marshal
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from itertools import starmap
from typing import BinaryIO, Protocol

from backup import elsewhere
from backup.elsewhere import ReadFrom
from backup.source.dirlist import ListedName, listed
from backup.source.pack import Pack, pack
from backup.source.reach import Each

_SIZE = 8
"""Bytes of the length of a message's part."""

Reply = tuple[bytes, bytes]
"""A message, and the data that belong to it."""


class RequestKind(Enum):
    """The kinds of requests."""

    PACK = b"p"
    """Pack these files."""
    LIST = b"l"
    """List this folder."""
    ELSEWHERE = b"e"
    """From now on read paths elsewhere: each is followed by its folder. Without an answer."""


def ask(pipe: BinaryIO, question: RequestKind, paths: list[bytes]) -> None:
    """Send paths. Raises OSError."""
    _send(pipe, question.value + b"\0".join(paths))


class Readable(Protocol):
    """A pipe, read in any way."""

    def read(self, size: int, /) -> bytes: ...


def answer(pipe: Readable) -> Reply:
    """The answer to the oldest request. Raises EOFError if the process has ended."""
    sizes = _exactly(pipe, 2 * _SIZE)
    facts, data = (int.from_bytes(size, "little") for size in (sizes[:_SIZE], sizes[_SIZE:]))
    return _exactly(pipe, facts), _exactly(pipe, data)


def as_pack(answered: Reply) -> Pack:
    """The content of an answer to ``PACK``."""
    facts, data = answered
    return data, marshal.loads(facts)  # noqa: S302 - from our own process


def as_listing(answered: Reply) -> list[ListedName] | None:
    """The content of an answer to ``LIST``; None for a folder that was too large or could not be listed."""
    listing: list[ListedName] | None = marshal.loads(answered[0])  # noqa: S302 - from our own process
    return listing


def serve(asked: BinaryIO, answers: BinaryIO, each: Each = map) -> None:
    """Answer until there are no more requests. ``each``: as ``map``."""
    while True:
        try:
            question = _exactly(asked, int.from_bytes(_exactly(asked, _SIZE), "little"))
        except EOFError:
            return
        paths = question[1:].split(b"\0")
        if question[:1] == RequestKind.ELSEWHERE.value:
            elsewhere.install(starmap(ReadFrom, zip(paths[::2], paths[1::2], strict=True)))
        elif question[:1] == RequestKind.PACK.value:
            data, packed = pack(paths, each)
            _send(answers, marshal.dumps(packed), data)
        else:
            _send(answers, marshal.dumps(_listing(paths[0], each)), b"")


def _listing(folder: bytes, each: Each) -> list[ListedName] | None:
    try:
        return listed(folder, each)
    except OSError:
        # The caller tries it itself, and reports what is wrong with it.
        return None


def _send(pipe: BinaryIO, *parts: bytes) -> None:
    """Send parts of any length; long ones are not copied once more."""
    pipe.write(b"".join(len(part).to_bytes(_SIZE, "little") for part in parts))
    for part in parts:
        pipe.write(part)
    pipe.flush()


def _exactly(pipe: Readable, size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        threads = int(sys.argv[1])
        # A single thread needs no pool: handing over costs more than a local disk's answer.
        each = map if threads == 1 else ThreadPoolExecutor(threads).map
        serve(sys.stdin.buffer, sys.stdout.buffer, each)
    except BrokenPipeError:
        # The caller is gone, perhaps killed; nobody needs the unread rest.
        sys.stderr.close()
