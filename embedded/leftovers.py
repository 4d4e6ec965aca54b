"""Notes of the programs that a supervisor started, so that the next one finds those that were left behind."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from embedded.folders import translated

# The kernel's clock ticks, and the small steps of a disciplined clock.
_SAME_TIME = 1.0
_KILL_LIMIT = 10


@dataclass(frozen=True, slots=True)
class Note:
    """One program that was started: a process id could later also belong to another process."""

    name: str
    order: int
    """Its position among the programs started together."""
    pid: int
    create_time: float
    """Seconds since the epoch, from the system's record of the process."""
    stop_limit: float
    """Seconds that it gets to end after it was asked to."""

    def process(self) -> psutil.Process | None:
        """The process, if it is still the one that was started."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.create_time) <= _SAME_TIME
            if same and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


class NotesFolder:
    """The notes in one folder, one file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, order: int, pid: int, stop_limit: float) -> None:
        """Note a program that has just been started; one that has ended already needs no note.

        Raises StateFolderUnusable.
        """
        with suppress(psutil.NoSuchProcess), translated(self._folder):
            note = Note(name, order, pid, psutil.Process(pid).create_time(), stop_limit)
            draft = self._folder / f"{name}.new"
            draft.write_text(json.dumps(asdict(note)), encoding="utf-8")
            draft.replace(self._path(name))

    def remove(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all notes, also those whose program no longer runs."""
        for path in self._folder.glob("*.json"):
            path.unlink()

    def alive(self) -> list[Note]:
        """The noted programs that still run, in the order to stop them: the last started first."""
        notes = [note for path in self._folder.glob("*.json") if (note := _read(path)) is not None]
        return sorted((note for note in notes if note.process()), key=lambda note: -note.order)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _read(path: Path) -> Note | None:
    """The note in a file; None for a file of another format, which names no process that could be ended."""
    try:
        return Note(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError):
        return None


def end(note: Note) -> bool:
    """End a program that was left behind: ask first, kill it with its group after its limit.

    Returns whether it ended when asked.
    """
    process = note.process()
    if process is None:
        return True
    with suppress(psutil.NoSuchProcess):
        process.terminate()
    if _is_gone(note, note.stop_limit):
        return True
    _kill_group(note.pid)
    _is_gone(note, _KILL_LIMIT)
    return False


def _is_gone(note: Note, limit: float) -> bool:
    deadline = time.monotonic() + limit
    while note.process() is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _kill_group(pid: int) -> None:
    """Kill the group that the program leads; only the program itself if it leads none."""
    with suppress(ProcessLookupError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
