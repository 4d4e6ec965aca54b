"""Folders that are listed ahead of the scan, so that several requests are in flight at once.

The scan goes depth first: next it needs the folders in the one that it has just entered, and before those
beside that one, which may have been requested long ago. So each level has a few folders in flight.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from backup.source.dirlist import ListedName
from backup.source.readahead import worker
from backup.source.readahead.pool import Helpers
from tape.programs.command import Companion

IN_FLIGHT = 3
"""Folders of one level for each process."""
QUESTIONS = 8
"""Open requests of one process: with the longest paths they fit into a pipe that nobody reads just now."""
HELD = 16 << 20
"""Bytes of answers that nobody needs yet; beyond this, no more are requested."""


@dataclass(slots=True)
class _Level:
    """The contents of one folder that will be walked."""

    wanted: deque[bytes] = field(default_factory=deque)
    asked: int = 0


class Listings:
    """Request folders, take their listings in any order."""

    def __init__(self, helpers: Helpers) -> None:
        self._helpers = helpers
        self._seen = 0
        self._levels: dict[bytes, _Level] = {}
        self._asked: dict[bytes, Companion] = {}
        self._questions: dict[Companion, deque[bytes]] = {}
        self._answers: dict[bytes, worker.Reply] = {}
        self._held = 0

    def want(self, folders: Iterable[bytes], seen: int) -> None:
        """The scan has found so many names, among them these folders of one parent, and will walk them."""
        if not self._helpers.count:
            return
        self._seen += seen
        self._helpers.start_for(self._seen)
        parent = None
        for folder in folders:
            parent = _parent(folder)
            self._levels.setdefault(parent, _Level()).wanted.append(folder)
        if parent is not None:
            self._ask(parent)

    def take(self, folder: bytes) -> list[ListedName] | None:
        """The contents of a folder; None if no process has listed it, or could."""
        answer = self._received(folder) if folder in self._asked else None
        parent = _parent(folder)
        level = self._levels.get(parent)
        if level is not None:
            if self._asked.pop(folder, None) is not None:
                level.asked -= 1
            elif level.wanted and level.wanted[0] == folder:
                level.wanted.popleft()
            self._ask(parent)
            if not level.wanted and not level.asked:
                del self._levels[parent]
        return None if answer is None else worker.as_listing(answer)

    def finish(self) -> None:
        """Read answers that nobody has taken, so that the processes can accept other requests."""
        for helper, questions in self._questions.items():
            while questions:
                questions.popleft()
                self._helpers.answer(helper)

    def _ask(self, parent: bytes) -> None:
        level = self._levels[parent]
        while (
            level.wanted
            and level.asked < IN_FLIGHT * len(self._helpers.running)
            and self._held < HELD
            and (helper := self._least_busy()) is not None
        ):
            folder = level.wanted[0]
            if self._helpers.leaves_out(folder):
                level.wanted.popleft()
            elif self._helpers.ask(helper, worker.RequestKind.LIST, [folder]):
                level.wanted.popleft()
                level.asked += 1
                self._asked[folder] = helper
                self._questions.setdefault(helper, deque()).append(folder)

    def _least_busy(self) -> Companion | None:
        """The process with the fewest open requests; None if each has too many."""
        running = self._helpers.running
        companion = min(running, key=lambda each: len(self._questions.get(each, ())), default=None)
        return None if companion and len(self._questions.get(companion, ())) >= QUESTIONS else companion

    def _received(self, folder: bytes) -> worker.Reply | None:
        """Read the answers of this process, up to this one."""
        helper = self._asked[folder]
        questions = self._questions[helper]
        while folder not in self._answers:
            if folder not in questions:
                return None
            answered = questions.popleft()
            answer = self._helpers.answer(helper)
            if answer is not None:
                self._answers[answered] = answer
                self._held += len(answer[0])
        answer = self._answers.pop(folder)
        self._held -= len(answer[0])
        return answer


def _parent(folder: bytes) -> bytes:
    return folder.rpartition(b"/")[0]
