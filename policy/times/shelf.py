"""The tapes on the shelf in the simulation of the calendar: which of them may suit a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heappop, heappush

from policy.tapes import label, retention
from policy.tapes.facts import CartridgeState, PolicyKind, SetFacts, TapeFacts, TapePolicy
from policy.times.period import ScheduleType
from policy.times.window import Window

LOOKED_AT = 8
"""Of how many tapes the sets are loaded at first, when those of one are needed; then of twice as many."""

_A_MONTH = timedelta(days=38)
"""A set of this month or of this week was not begun longer ago."""
_PERIODS = {ScheduleType.YEARLY: timedelta(days=367)}

_Group = tuple[str | None, tuple[int, int] | None] | None
"""Tapes that suit the same runs: of a pool; of no pool and a month, or of none. None: those without a
volume."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A future run."""

    at: datetime
    schedule: str
    schedule_type: ScheduleType
    time_zone: str
    drive: str
    policy: TapePolicy
    template_id: int
    retention_days: int | None
    keep_sets: int | None
    type: str
    """``full``, or ``incremental`` or ``differential``, which become full if there is nothing to follow."""
    size: int | None
    """Its size on tape, in bytes, estimated from earlier runs; None: there was none."""
    window: Window | None = None
    """When it may work; None: at any time."""
    run_after: str | None = None
    """The schedule that it follows."""
    seconds: float | None = None
    """How long it works, estimated from earlier runs; None: not known, or nobody asked."""


@dataclass(slots=True)
class ShelfTape:
    """A known tape, or a future blank one. The simulation changes it."""

    facts: TapeFacts
    """Its sets as they were when ``as_of`` sets had been simulated, without those of ``added``."""
    used: int
    capacity: int | None
    own: frozenset[str] = frozenset()
    """The labels that only this tape has: it may get them again."""
    kept_until: datetime = retention.ALWAYS
    """Something on it is kept at least until then, regardless of what is simulated."""
    begun: datetime = retention.NEVER
    """No set on it was begun later."""
    is_known: bool = True
    """Whether ``facts`` has its sets; if not, ``Stock.look`` is asked for them when they matter."""
    is_played: bool = False
    """Whether an earlier simulated run has put it where it is or given it its label."""
    as_of: int = 0
    """How many of the simulated sets its facts take into account."""
    added: tuple[int, ...] = ()
    """The simulated sets that were written to it since: their places in ``Stock.written``."""


Written = tuple[SetFacts, str | None]
"""A simulated set, and what it follows."""


class Shelf:
    """The tapes on the shelf in the order in which they are taken; finds those that may suit a run without
    asking the rules about each."""

    def __init__(self, tapes: Iterable[ShelfTape]) -> None:
        self.tapes: dict[int, ShelfTape] = {}
        self._of: dict[_Group, list[int]] = defaultdict(list)
        self._kept: list[tuple[datetime, int]] = []
        """Tapes of no pool with something on them that is kept, by the moment until which it is."""
        self._loose: list[int] = []
        """Those of which that is over, or not known."""
        self._place = 0
        for tape in tapes:
            self.put(tape)

    def put(self, tape: ShelfTape, written: Sequence[Written] = ()) -> None:
        """Add a tape behind the others; ``written``: what was simulated."""
        of_run = [written[place][0].kept_at_least for place in tape.added]
        known = tape.facts.known.sets if tape.facts.known else ()
        tape.kept_until = max([tape.kept_until, *of_run, *(each.kept_at_least for each in known)])
        self._place += 1
        self.tapes[self._place] = tape
        self._of[_group(tape)].append(self._place)
        if tape.facts.known is None or tape.facts.known.pool is None:
            heappush(self._kept, (tape.kept_until, self._place))

    def take(self, place: int) -> None:
        """Remove a tape."""
        del self.tapes[place]

    def for_run(self, run: PlannedRun, local: datetime, *, begins: bool) -> list[int]:
        """The places of all tapes that a run may take, in order, and of some that it refuses."""
        pool = run.policy.pool
        places = {*self._of[None], *self._of[pool, None if pool else (local.year, local.month)]}
        if pool is not None and begins:
            places = {each for each in places if each in self.tapes and self._may_begin(each, run, local)}
        if begins and run.policy.kind is PolicyKind.ROTATE:
            while self._kept and self._kept[0][0] <= local:
                self._loose.append(heappop(self._kept)[1])
            self._loose = [each for each in self._loose if each in self.tapes]
            places.update(self._loose)
        return sorted(
            each
            for each in places
            if each in self.tapes and (begins or not _takes_no_more(self.tapes[each].facts))
        )

    def _may_begin(self, place: int, run: PlannedRun, local: datetime) -> bool:
        """A tape with something on it that is kept is only appended to, and for that it has a set of this
        month or of this period."""
        tape = self.tapes[place]
        return tape.kept_until <= local or tape.begun >= local - _PERIODS.get(run.schedule_type, _A_MONTH)


def _group(tape: ShelfTape) -> _Group:
    known = tape.facts.known
    if tape.facts.state != "formatted":
        return None
    if known is not None and known.pool is not None:
        return known.pool, None
    monthly = label.parse(tape.facts.label)
    return None, (monthly.year, monthly.month) if monthly else None


def _takes_no_more(tape: TapeFacts) -> bool:
    """Whether its state forbids to append to it."""
    return tape.known is not None and tape.known.state is not CartridgeState.ACTIVE
