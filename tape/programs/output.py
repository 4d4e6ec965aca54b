"""A program's output: every line as it comes, and its end kept."""

from __future__ import annotations

import codecs
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from policy.message import M
from tape.errors import DriveError

KEPT_BYTES = 1024 * 1024
"""How much of a program's output is kept: its end, which has the reason for a failure."""
DISK_BYTES = 64 * 1024 * 1024
"""How much of it may be on the disk while the program runs."""
ROUND_BYTES = 1024 * 1024


@contextmanager
def output_file() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """A file for the output of one program: the program writes to it, we read from it.

    A file and not a pipe: a program that outlives its starter would be killed by its next message to a broken
    pipe, and one that leaves a child behind would keep a pipe open for ever. Raises DriveError if there is no
    space for it.
    """
    path = _make()
    try:
        with path.open("ab", buffering=0) as written, path.open("rb", buffering=0) as read:
            if sys.platform != "win32":
                path.unlink()
            yield written, read
    finally:
        # On Windows a child that was left behind may still have it open.
        with suppress(FileNotFoundError, PermissionError):
            path.unlink()


def _make() -> Path:
    try:
        descriptor, name = tempfile.mkstemp(prefix="tapeline-")
    except OSError as error:
        raise DriveError(
            M("No temporary file can be made: {reason}.", reason=error.strerror or str(error)),
            M("Make room in the folder for temporary files, or set TMPDIR to another."),
        ) from error
    os.close(descriptor)
    return Path(name)


class Output:
    """Follows the file that a program writes its output to."""

    def __init__(
        self,
        written: IO[bytes],
        read: IO[bytes],
        encoding: str,
        on_line: Callable[[str], None] | None,
    ) -> None:
        self._written = written
        self._file = read
        self._encoding = encoding
        self._on_line = on_line
        self._kept = bytearray()
        self._line = ""
        self._decoder = _decoder(encoding)

    def follow(self) -> bool:
        """Read what is new; True if there is more. Calls ``on_line`` for each whole line."""
        chunk = self._file.read(ROUND_BYTES)
        self._kept += chunk
        del self._kept[:-KEPT_BYTES]
        self._tell(self._decoder.decode(chunk))
        more = len(chunk) == ROUND_BYTES
        if not more and self._file.tell() > DISK_BYTES:
            self._empty()
        return more

    def finish(self) -> None:
        """Read the rest, as far as it is written, and the last line if it is incomplete."""
        end = os.fstat(self._file.fileno()).st_size
        while self._file.tell() < end and self.follow():
            pass
        self._tell(self._decoder.decode(b"", final=True))
        if self._line:
            self._say(self._line)
            self._line = ""

    @property
    def text(self) -> str:
        """The last mebibyte of the output; undecodable bytes are replaced."""
        return _decoder(self._encoding).decode(bytes(self._kept), final=True)

    def _empty(self) -> None:
        # The program appends, so it continues at the beginning of the emptied file.
        self._written.truncate(0)
        self._file.seek(0)

    def _tell(self, text: str) -> None:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._say(line)
        if len(self._line) > KEPT_BYTES:
            self._say(self._line)
            self._line = ""

    def _say(self, line: str) -> None:
        if self._on_line:
            self._on_line(line)


def _decoder(encoding: str) -> io.IncrementalNewlineDecoder:
    """Decodes without ever failing, and turns every kind of line end into ``\\n``."""
    return io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)("replace"), translate=True)
