"""Several processes read ahead of the writing one, so that many small files are in flight at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from time import perf_counter
from typing import NamedTuple

from backup.phases import Phases
from backup.source.pack import Pack, length_of
from backup.source.plan import PathAction, PlannedPath
from backup.source.readahead import worker
from backup.source.readahead.pool import Helpers
from tape.programs.command import Companion

BATCH = 32
"""So many small files go to a process at once."""
BATCH_PATHS = 8192
"""Bytes of their names: the requests of two batches fit into a pipe that nobody reads at the moment."""
IN_FLIGHT = 2
"""Batches for each process."""


class Batch(NamedTuple):
    """Consecutive parts of the plan, with their packed files."""

    planned: list[PlannedPath]
    pack: Pack

    @property
    def is_whole(self) -> bool:
        """Whether all of it is packed, and nothing else remains to be done."""
        return len(self.planned) == len(self.pack[1]) and None not in self.pack[1]

    def each(self) -> Iterator[tuple[PlannedPath, Pack | None]]:
        """Its parts one by one; each packed part with its packed files."""
        data, files = self.pack
        packed = iter(files)
        at = 0
        for part in self.planned:
            packed_file = next(packed, None) if part.kind is PathAction.SMALL else None
            if packed_file is None:
                yield part, None
            else:
                end = at + length_of(packed_file)
                yield part, (data[at:end], [packed_file])
                at = end


NOTHING: Pack = (b"", [])


class Readers:
    """Goes through a plan in its order. Without processes, the writing process reads by itself."""

    def __init__(self, helpers: Helpers, phases: Phases) -> None:
        self._helpers = helpers
        self._phases = phases
        self._turn = 0

    def ahead(self, plan: Iterable[PlannedPath], small: int) -> Iterator[Batch]:
        """The plan, batch by batch; it has so many ``small`` files."""
        self._helpers.start_for(small)
        parts = iter(plan)
        waiting: deque[tuple[list[PlannedPath], Companion | None]] = deque()
        while planned := _some(parts):
            waiting.append((planned, self._asked(planned)))
            if len(waiting) > IN_FLIGHT * len(self._helpers.running):
                yield self._answered(*waiting.popleft())
        while waiting:
            yield self._answered(*waiting.popleft())

    def _asked(self, planned: list[PlannedPath]) -> Companion | None:
        paths = [part.path for part in planned if part.kind is PathAction.SMALL]
        if any(map(self._helpers.leaves_out, paths)):
            return None
        while paths and (running := self._helpers.running):
            self._turn += 1
            helper = running[self._turn % len(running)]
            if self._helpers.ask(helper, worker.RequestKind.PACK, paths):
                return helper
        return None

    def _answered(self, planned: list[PlannedPath], helper: Companion | None) -> Batch:
        if helper is None:
            return Batch(planned, NOTHING)
        started = perf_counter()
        answered = self._helpers.answer(helper)
        pack = NOTHING if answered is None else worker.as_pack(answered)
        self._phases.read += perf_counter() - started
        return Batch(planned, pack)


def _some(parts: Iterator[PlannedPath]) -> list[PlannedPath]:
    """The next parts, with as many small files as go to a process at once."""
    planned: list[PlannedPath] = []
    small = length = 0
    for part in islice(parts, 4 * BATCH):
        planned.append(part)
        if part.kind is PathAction.SMALL:
            small += 1
            length += len(part.path) + 1
            if small == BATCH or length > BATCH_PATHS:
                break
    return planned
