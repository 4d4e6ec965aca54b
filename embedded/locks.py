"""Locks between processes: files locked with flock, released by the kernel when a process dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from embedded.folders import translated


class LockFile:
    """One lock file, open while it is locked."""

    def __init__(self, path: Path) -> None:
        with translated(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def share(self) -> None:
        """Lock it shared with others; waits while somebody has it exclusively."""
        import portalocker  # noqa: PLC0415 - it loads Redis's client, which most commands need not

        portalocker.lock(self._descriptor, portalocker.LOCK_SH)

    def own(self) -> None:
        """Lock it exclusively; waits for the others."""
        import portalocker  # noqa: PLC0415 - it loads Redis's client, which most commands need not

        portalocker.lock(self._descriptor, portalocker.LOCK_EX)

    def try_own(self) -> bool:
        """Lock it exclusively if nobody else has it; on False nothing is locked, not even what was shared."""
        import portalocker  # noqa: PLC0415 - it loads Redis's client, which most commands need not

        try:
            portalocker.lock(self._descriptor, portalocker.LOCK_EX | portalocker.LOCK_NB)
        except portalocker.AlreadyLocked:
            return False
        return True

    def note(self, text: str) -> None:
        """Write a text for those who find it locked."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def read_note(self) -> str:
        return os.pread(self._descriptor, 200, 0).decode("utf-8", "replace").strip()

    def close(self) -> None:
        """Release it. The file stays: if it were removed, two processes could lock two files of one name."""
        os.close(self._descriptor)

    def __enter__(self) -> LockFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Lock a file exclusively for the time of the context; waits for the others."""
    with LockFile(path) as lock:
        lock.own()
        yield
