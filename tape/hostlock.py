"""The drive's lock on its host: a locked file, for as long as any process has its descriptor open."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from types import TracebackType

from policy.message import M
from tape.errors import DriveBusy, DriveError

NOTE_BYTES = 1000
NOTE_AT = 1
"""Windows locks the first byte, so that nobody else can read it."""


class HostLock:
    """An exclusive lock between the processes of one host; the file itself is never removed.

    On POSIX a program that inherits ``descriptor`` has the lock too: it is free only when the last such
    process has ended, killed or not. On Windows it is free when the process that took it ends.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object has the lock."""
        return self._descriptor is not None

    @property
    def descriptor(self) -> int:
        """The open file, for a program to inherit. Raises ValueError if the lock is not taken."""
        if self._descriptor is None:
            raise ValueError(f"{self._path} is not locked")
        return self._descriptor

    def acquire(self) -> None:
        """Take the lock, or raise DriveBusy at once, which names the owner. Raises DriveError."""
        if self.held:
            raise self._busy(_note())
        import portalocker  # noqa: PLC0415 - it loads Redis's client, which most commands need not

        descriptor = self._open()
        try:
            portalocker.lock(descriptor, portalocker.LOCK_EX | portalocker.LOCK_NB)
        except portalocker.LockException as error:
            # Windows does not always report why it gives no lock; the file is open, so another process has
            # it.
            is_busy = sys.platform == "win32" or isinstance(error, portalocker.AlreadyLocked)
            refused = self._busy(_read_note(descriptor)) if is_busy else self._unusable(error)
            os.close(descriptor)
            raise refused from error
        self._descriptor = descriptor
        _write_note(descriptor)

    def release(self) -> None:
        """Release it; a program that inherited the descriptor still has it. Twice does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> HostLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> DriveError:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return DriveError(
            M("The lock file {path} cannot be used: {reason}.", path=str(self._path), reason=reason),
            M("Let this user write it; it must lie on a local disk."),
        )

    def _busy(self, holder: dict[str, object]) -> DriveBusy:
        return DriveBusy(
            M(
                "The drive is held by process {pid} on {host} (lock file {path}).",
                pid=holder["pid"],
                host=holder["host"],
                path=str(self._path),
            ),
            M("Wait until it ends, or stop it: a program that it started may hold the drive after it."),
        )


def _note() -> dict[str, object]:
    return {"pid": os.getpid(), "host": socket.gethostname()}


def _write_note(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, NOTE_AT, os.SEEK_SET)
    os.write(descriptor, json.dumps(_note()).encode())


def _read_note(descriptor: int) -> dict[str, object]:
    """Who has it, as that process wrote; it may not have written anything yet."""
    os.lseek(descriptor, NOTE_AT, os.SEEK_SET)
    try:
        note = json.loads(os.read(descriptor, NOTE_BYTES))
        return {"pid": note["pid"], "host": note["host"]}
    except (ValueError, KeyError, TypeError):
        return {"pid": "?", "host": socket.gethostname()}
