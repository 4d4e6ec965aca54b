"""Which tape each future run needs, what it would erase and how full it would be: the rules, simulated.

Nothing is certain about a future run; it is assumed to happen in time, to succeed, and to be as large as the
median of earlier ones.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from policy.tapes import kin, label, retention
from policy.tapes.facts import (
    CartridgeFacts,
    CartridgeState,
    SetFacts,
    SetState,
    TapeFacts,
    TapePolicy,
)
from policy.tapes.permit import FormatFacts
from policy.tapes.verdict import (
    Answer,
    Question,
    Verdict,
    judge,
)
from policy.times import period
from policy.times.period import ScheduleType

_FULL = "full"


@dataclass(frozen=True, slots=True)
class Planned:
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


@dataclass(frozen=True, slots=True)
class Tape:
    """A known tape, or a future blank one."""

    facts: TapeFacts
    used: int
    capacity: int | None
    own: frozenset[str] = frozenset()
    """The labels that only this tape has: it may get them again."""
    is_played: bool = False
    """Whether an earlier simulated run has put it where it is or given it its label."""
    as_of: int = 0
    """How many of the simulated sets its facts take into account."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A future run with its tape."""

    planned: Planned
    tape_id: str | None
    """The cartridge; None: a blank tape."""
    label: str | None
    """The tape's label when the run writes to it; None: there is no tape that the run could use."""
    insert: bool
    """Whether another tape must be put into the drive before."""
    format: bool
    erases: tuple[str, ...]
    used_before: int
    used_after: int | None = None
    capacity: int | None = None
    is_left: bool = False
    """Whether an earlier run must first leave the tape in the drive, or give it its label."""

    @property
    def fits(self) -> bool | None:
        if self.used_after is None or self.capacity is None:
            return None
        return self.used_after <= self.capacity


Written = tuple[SetFacts, str | None]
"""A simulated set, and what it follows."""


@dataclass(slots=True)
class Stock:
    """All tapes: in the drives, by name, and on the shelf. The simulation changes it."""

    loaded: dict[str, Tape]
    shelf: list[Tape]
    newest_full: dict[int, str | None]
    """The full set of each template that a differential one would follow."""
    newest: dict[int, str | None]
    """The set of each template that an incremental one would follow."""
    capacity: int | None = None
    """Of a new tape, in bytes."""
    labels: set[str] = field(default_factory=set)
    """Every label in use."""
    written: list[Written] = field(default_factory=list)
    """The simulated sets."""


def play(stock: Stock, runs: Iterable[Planned]) -> Iterator[Entry]:
    """One entry for each run; ``runs`` ascend in time."""
    for run in runs:
        local = run.at.astimezone(ZoneInfo(run.time_zone))
        inside = _loaded(stock, run)
        chosen = inside if inside and _usable(stock, run, inside, local) else _fetch(stock, run, local)
        if chosen is None:
            yield Entry(run, None, None, insert=True, format=False, erases=(), used_before=0)
            continue
        yield _entry(stock, run, chosen, local)


def _parent(stock: Stock, run: Planned) -> str | None:
    """The set that an increment would follow."""
    if run.type == "full":
        return None
    return (stock.newest_full if run.type == "differential" else stock.newest).get(run.template_id)


def _is_full(stock: Stock, run: Planned) -> bool:
    """A full backup formats its tape if the permit allows; any other is appended to one."""
    return _parent(stock, run) is None


def _entry(stock: Stock, run: Planned, tape: Tape, local: datetime) -> Entry:
    """Simulate the run on this tape; afterwards the tape is in the drive, with the set on it."""
    verdict = _verdict(stock, run, tape, local)
    formats = verdict.answer is Answer.FORMAT
    name = label.to_ask_for(local, stock.labels - tape.own) if formats else tape.facts.label or ""
    before = 0 if formats else tape.used
    found = Entry(
        planned=run,
        tape_id=(tape.facts.known.tape_id or None) if tape.facts.known else None,
        label=name,
        insert=tape is not stock.loaded.get(run.drive),
        format=formats,
        erases=verdict.sets_lost,
        used_before=before,
        used_after=None if run.size is None else before + run.size,
        capacity=tape.capacity,
        is_left=tape.is_played,
    )
    _write(stock, run, tape, name, before, formatted=formats)
    return found


def _verdict(stock: Stock, run: Planned, tape: Tape, local: datetime) -> Verdict:
    facts = FormatFacts(
        tape=tape.facts,
        seen_by_precheck=tape.facts.identity,
        policy=run.policy,
        now_local=local,
        run_id=None,
        period=period.key(run.schedule_type, run.at, run.time_zone),
    )
    return judge(Question(facts, begins=_is_full(stock, run)))


def _usable(stock: Stock, run: Planned, tape: Tape, local: datetime) -> bool:
    return _verdict(stock, run, tape, local).answer is not Answer.REFUSE


def _loaded(stock: Stock, run: Planned) -> Tape | None:
    inside = stock.loaded.get(run.drive)
    if inside is not None:
        inside = stock.loaded[run.drive] = _aged(stock, inside)
    return inside


def _fetch(stock: Stock, run: Planned, local: datetime) -> Tape | None:
    """The tape that somebody must insert: one from the shelf that the rules permit, else a blank one."""
    for place, tape in enumerate(stock.shelf):
        stock.shelf[place] = _aged(stock, tape)
        if _usable(stock, run, stock.shelf[place], local):
            return stock.shelf.pop(place)
    if not _is_full(stock, run):
        return None
    # A pool has none until the operator puts one in, which must happen before the run.
    pool = run.policy.pool
    known = CartridgeFacts(0, "", None, CartridgeState.ACTIVE, pool, None) if pool else None
    blank = TapeFacts("blank", None, empty=True, write_protected=False, identity=(), known=known)
    return Tape(blank, 0, stock.capacity)


def _write(stock: Stock, run: Planned, tape: Tape, name: str, before: int, *, formatted: bool) -> None:
    """The world after the run: its set is on the tape, the tape in its drive, and earlier sets are older."""
    parent = _parent(stock, run)
    written = SetFacts(
        id=f"({run.schedule} {run.at:%Y-%m-%d %H:%M})",
        template_id=run.template_id,
        run_id=None,
        type=_FULL if parent is None else run.type,
        state=SetState.COMPLETE,
        period=period.key(run.schedule_type, run.at, run.time_zone),
        started_at=run.at,
        retention_until=retention.until(run.at, run.retention_days),
        keep_sets=run.keep_sets,
        is_newest_full=parent is None,
    )
    if parent is None:
        stock.newest_full[run.template_id] = written.id
    stock.newest[run.template_id] = written.id
    known = tape.facts.known or CartridgeFacts(0, name, name, CartridgeState.ACTIVE, run.policy.pool, None)
    kept = () if formatted else _older(known.sets, [(written, parent)])
    facts = replace(
        tape.facts,
        state="formatted",
        label=name,
        empty=False,
        known=replace(known, tape_id=name if formatted else known.tape_id, label=name, sets=(*kept, written)),
    )
    stock.written.append((written, parent))
    stock.labels = stock.labels | {name}
    before_it = stock.loaded.get(run.drive)
    is_played = tape.is_played or formatted or tape is not before_it
    if before_it is not None and before_it is not tape:
        stock.shelf.append(before_it)
    stock.loaded[run.drive] = Tape(
        facts,
        before + (run.size or 0),
        tape.capacity,
        tape.own | {name},
        is_played=is_played,
        as_of=len(stock.written),
    )


def _aged(stock: Stock, tape: Tape) -> Tape:
    """A tape after everything that was simulated, here or elsewhere: its sets have newer ones, or are
    followed by one. It is updated only when somebody asks about it."""
    since, known = stock.written[tape.as_of :], tape.facts.known
    if not since or known is None:
        return tape
    older = replace(known, sets=_older(known.sets, since))
    return replace(tape, facts=replace(tape.facts, known=older), as_of=len(stock.written))


def _older(sets: Iterable[SetFacts], since: Sequence[Written]) -> tuple[SetFacts, ...]:
    """Sets after others were written."""
    newer: Counter[tuple[int | None, str]] = Counter()
    followers: dict[str, list[SetFacts]] = defaultdict(list)

    def after(stored: SetFacts) -> SetFacts:
        follow = (*stored.followed_by, *followers.get(stored.id, ()))
        # If no number is given, nothing is counted.
        count = newer[stored.template_id, stored.type] if stored.keep_sets is not None else 0
        is_newest = stored.is_newest_full and not newer[stored.template_id, _FULL]
        if not count and len(follow) == len(stored.followed_by) and is_newest == stored.is_newest_full:
            return stored
        return replace(stored, newer=stored.newer + count, followed_by=follow, is_newest_full=is_newest)

    for written, parent in reversed(since):
        older = after(written)
        newer[written.template_id, written.type] += 1
        if parent is not None:
            followers[parent].append(older)
    return kin.changed(sets, after)
