"""A process that packs small files: names come in, packed files go out, in their order.

Run as ``python -m backup.reader``. It ends when nobody asks it any more; a Ctrl-C is its owner's affair.
"""

from __future__ import annotations

import marshal
import signal
import sys
from typing import BinaryIO

from backup.pack import Pack, pack

_SIZE = 8
"""Bytes that say how long a message is."""


def ask(pipe: BinaryIO, paths: list[bytes]) -> None:
    """Send names. Raises OSError."""
    _send(pipe, b"\0".join(paths))


def answer(pipe: BinaryIO) -> Pack:
    """What was packed of the names that were sent first. Raises EOFError when the process has ended."""
    found: Pack = marshal.loads(_received(pipe))  # noqa: S302 - from our own process
    return found


def serve(asked: BinaryIO, answers: BinaryIO) -> None:
    """Answer until there are no more questions."""
    while True:
        try:
            names = _received(asked)
        except EOFError:
            return
        _send(answers, marshal.dumps(pack(names.split(b"\0"))))


def _send(pipe: BinaryIO, message: bytes) -> None:
    pipe.write(len(message).to_bytes(_SIZE, "little"))
    pipe.write(message)
    pipe.flush()


def _received(pipe: BinaryIO) -> bytes:
    return _exactly(pipe, int.from_bytes(_exactly(pipe, _SIZE), "little"))


def _exactly(pipe: BinaryIO, size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        # Whoever asked is gone, perhaps killed; what is not read yet is nobody's any more.
        sys.stderr.close()
