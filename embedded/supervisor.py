"""Keeps a set of programs running, in order, and ends them in the opposite order."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from embedded import leftovers
from embedded.account import Account, require_posix
from embedded.errors import AlreadyUp
from embedded.folders import make_state, translated
from embedded.leftovers import NotesFolder
from embedded.locks import LockFile
from embedded.program import Program, ProgramEvent, ProgramEventKind, Tell, Watched
from policy.message import M

LOOK_EVERY = 0.1
"""Seconds between two checks of the programs."""

LEFT_BEHIND_SECONDS = 60.0
"""How long to wait, at most, for a program that an earlier supervisor left behind. Nothing else runs until
then, and its successor takes over its work."""


class Supervisor:
    """Runs programs side by side in one state folder, which it reserves with ``<state>/up.lock``.

    Each writes to ``<state>/log/<name>.log``. A program that dies is started again, after a growing pause (1
    s to 30 s). A program that an earlier supervisor left behind is ended before its successor starts.
    Programs that end ``together`` share one limit, however many they are. An object is for one run: ``run``,
    or ``started``.
    """

    def __init__(self, state: Path, programs: Sequence[Program]) -> None:
        require_posix()
        self.state = state.resolve()
        self._notes = NotesFolder(self.state / "up")
        self._watched = [self._watch_over(order, program) for order, program in enumerate(programs)]
        self._stop_asked = False

    def _watch_over(self, order: int, program: Program) -> Watched:
        def note(pid: int) -> None:
            limit = min(program.stop_limit, LEFT_BEHIND_SECONDS)
            self._notes.write(program.name, order, pid, limit)

        return Watched(program, self.state / "log" / f"{program.name}.log", note)

    def run(self, on_event: Tell) -> None:
        """Run them until ``stop`` or one of SIGINT, SIGTERM, SIGHUP; call it in the main thread.

        Raises AlreadyUp, StateFolderUnusable, and what starting a program raises.
        """
        with self._held(), _signals(self.stop), self._programs(on_event):
            self._watch(on_event)

    @contextmanager
    def started(self, on_event: Tell) -> Iterator[None]:
        """Run them while the caller does something else; ``on_event`` is called from another thread.

        Raises as ``run`` does.
        """
        watcher = threading.Thread(target=self._watch, args=(on_event,), name="supervisor", daemon=True)
        with self._held(), self._programs(on_event):
            watcher.start()
            try:
                yield
            finally:
                self.stop()
                watcher.join()

    def stop(self) -> None:
        """Make ``run`` stop the programs and return; may be called from a signal handler or a thread."""
        self._stop_asked = True

    @contextmanager
    def _held(self) -> Iterator[None]:
        make_state(self.state, Account(os.geteuid(), os.getegid()))
        with LockFile(self.state / "up.lock") as lock:
            if not lock.try_own():
                raise AlreadyUp(
                    M(
                        "Process {pid} is already up in {folder}.",
                        pid=lock.read_note() or "?",
                        folder=str(self.state),
                    ),
                    M("Stop it first, or give another folder in TAPELINE_STATE_DIR."),
                )
            lock.note(str(os.getpid()))
            yield

    @contextmanager
    def _programs(self, on_event: Tell) -> Iterator[None]:
        with translated(self.state):
            (self.state / "log").mkdir(mode=0o700, exist_ok=True)
            (self.state / "up").mkdir(mode=0o700, exist_ok=True)
        self._end_left_behind(on_event)
        # Every program is stopped, the last first, even if others fail to stop.
        with ExitStack() as stack:
            for watched in self._watched:
                stack.callback(self._stop, watched, on_event)
                watched.start(on_event)
            yield

    def _stop(self, watched: Watched, on_event: Tell) -> None:
        group = watched.program.together
        for other in self._watched if group is not None else ():
            if other.program.together == group:
                other.ask_to_end(on_event)
        watched.stop(on_event)
        self._notes.remove(watched.program.name)

    def _watch(self, on_event: Tell) -> None:
        while not self._stop_asked:
            for watched in self._watched:
                watched.look(on_event)
            time.sleep(LOOK_EVERY)

    def _end_left_behind(self, on_event: Tell) -> None:
        for note in self._notes.alive():
            by_itself = leftovers.end(note)
            text = (
                M("Process {pid}, left behind by an earlier start, has ended.", pid=note.pid)
                if by_itself
                else M("Process {pid}, left behind by an earlier start, was killed.", pid=note.pid)
            )
            on_event(ProgramEvent(note.name, ProgramEventKind.LEFT_BEHIND, note.pid, text))
        self._notes.clear()


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """Turn the signals that end a program into a request to stop, for the time of the context."""

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the form of a signal handler
        stop()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
