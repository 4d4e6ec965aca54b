"""The postmaster that a data folder names: alive, dead, or only its file is left."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from embedded.folders import translated

# Above any kernel's highest process id, so PostgreSQL considers the process ended.
NO_PROCESS = 2**31 - 1
_STATUS_LINE = 7


@dataclass(frozen=True, slots=True)
class PidFile:
    """``postmaster.pid`` in a data folder."""

    data: Path

    @property
    def path(self) -> Path:
        return self.data / "postmaster.pid"

    def is_alive(self) -> bool:
        """Whether the process it names is the postmaster of this very data folder."""
        lines = self._lines()
        if not lines or not lines[0].strip().isdigit():
            return False
        return _is_postmaster(int(lines[0]), self.data)

    def is_ready(self) -> bool:
        """Whether the postmaster has written that it accepts connections."""
        lines = self._lines()
        return len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"

    def disown(self) -> None:
        """Replace the process id in it if that process has nothing to do with PostgreSQL.

        The rest stays: PostgreSQL itself uses it to find out whether old backends still use the data.
        """
        lines = self._lines()
        if not lines:
            return
        draft = self.path.with_name("postmaster.pid.new")
        draft.unlink(missing_ok=True)
        owner = self.path.lstat()
        # O_EXCL: in another account's folder, nothing is written through a link.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor, not a path
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
            file.write("\n".join([str(NO_PROCESS), *lines[1:]]) + "\n")
        draft.replace(self.path)

    def _lines(self) -> list[str]:
        with translated(self.path):
            try:
                descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
            except FileNotFoundError:
                return []
        with open(descriptor, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - as above
            return file.read().splitlines()


def _is_postmaster(pid: int, data: Path) -> bool:
    try:
        arguments = psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
    return bool(arguments) and Path(arguments[0]).name == "postgres" and str(data) in arguments
