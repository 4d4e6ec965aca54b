"""Which tape each future run needs, what it would erase and how full it would be: the rules, played ahead.

Nothing is known for certain of a future run; it is taken to happen in time, to succeed, and to be as large as
the median of earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from policy.tapes import label, retention
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

_TO_COME = "("
"""How the id of a set begins that is not written yet."""


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
    """``full``, or ``incremental`` or ``differential``, which is full where there is nothing to follow."""
    size: int | None
    """What it writes to tape, in bytes, as earlier runs suggest; None: there was none."""


@dataclass(frozen=True, slots=True)
class Tape:
    """A tape that is known, or a blank one that will be."""

    facts: TapeFacts
    used: int
    capacity: int | None
    own: frozenset[str] = frozenset()
    """The labels that are taken by this tape alone: it may be given them again."""
    is_played: bool = False
    """Whether an earlier run, played ahead, has put it where it is or given it its label."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A future run with its tape."""

    planned: Planned
    tape_id: str | None
    """The cartridge; None: a blank tape."""
    label: str | None
    """What the tape is called when the run writes on it; None: there is no tape that it could write on."""
    insert: bool
    """Whether another tape has to be put into the drive before."""
    format: bool
    erases: tuple[str, ...]
    used_before: int
    used_after: int | None = None
    capacity: int | None = None
    is_left: bool = False
    """Whether an earlier run is yet to leave the tape in the drive, or to give it its label."""

    @property
    def fits(self) -> bool | None:
        if self.used_after is None or self.capacity is None:
            return None
        return self.used_after <= self.capacity


@dataclass(slots=True)
class Stock:
    """All tapes: in the drives, by name, and on the shelf. Playing ahead changes it."""

    loaded: dict[str, Tape]
    shelf: list[Tape]
    newest_full: dict[int, str | None]
    """The full set of each template that a differential one would follow."""
    newest: dict[int, str | None]
    """The set of each template that an incremental one would follow."""
    capacity: int | None = None
    """Of a new tape, in bytes."""
    labels: set[str] = field(default_factory=set)
    """Every label that is taken."""


def play(stock: Stock, runs: Iterable[Planned]) -> Iterator[Entry]:
    """One entry for each run; ``runs`` ascend in time."""
    for run in runs:
        local = run.at.astimezone(ZoneInfo(run.time_zone))
        inside = stock.loaded.get(run.drive)
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
    """The run on this tape; afterwards the tape is in the drive, with the set on it."""
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


def _fetch(stock: Stock, run: Planned, local: datetime) -> Tape | None:
    """The tape that somebody has to insert: one from the shelf that the rules allow, else a blank one."""
    found = next((tape for tape in stock.shelf if _usable(stock, run, tape, local)), None)
    if found is not None:
        stock.shelf.remove(found)
        return found
    if not _is_full(stock, run):
        return None
    # Of a pool there is none until somebody puts it in: his to do before the run.
    pool = run.policy.pool
    known = CartridgeFacts(0, "", None, CartridgeState.ACTIVE, pool, None) if pool else None
    blank = TapeFacts("blank", None, empty=True, write_protected=False, identity=(), known=known)
    return Tape(blank, 0, stock.capacity)


def _write(stock: Stock, run: Planned, tape: Tape, name: str, before: int, *, formatted: bool) -> None:
    """The world after the run: its set is on the tape, the tape in its drive, and earlier sets are older."""
    parent = _parent(stock, run)
    written = SetFacts(
        id=f"{_TO_COME}{run.schedule} {run.at:%Y-%m-%d %H:%M})",
        template_id=run.template_id,
        run_id=None,
        type="full" if parent is None else run.type,
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
    kept = () if formatted else known.sets
    facts = replace(
        tape.facts,
        state="formatted",
        label=name,
        empty=False,
        known=replace(known, tape_id=name if formatted else known.tape_id, label=name, sets=(*kept, written)),
    )
    stock.labels = stock.labels | {name}
    before_it = stock.loaded.get(run.drive)
    is_played = tape.is_played or formatted or tape is not before_it
    if before_it is not None and before_it is not tape:
        stock.shelf.append(before_it)
    stock.shelf = [_aged(other, written, parent) for other in stock.shelf]
    stock.loaded[run.drive] = Tape(
        facts, before + (run.size or 0), tape.capacity, tape.own | {name}, is_played=is_played
    )
    stock.loaded = {drive: _aged(other, written, parent) for drive, other in stock.loaded.items()}


def _aged(tape: Tape, written: SetFacts, parent: str | None) -> Tape:
    """A tape after a set was written, here or elsewhere: its sets have one that is newer, or follows them."""
    known = tape.facts.known
    if known is None:
        return tape
    sets = tuple(_older(stored, written, parent) for stored in known.sets)
    return replace(tape, facts=replace(tape.facts, known=replace(known, sets=sets)))


def _older(stored: SetFacts, written: SetFacts, parent: str | None) -> SetFacts:
    is_followed = parent is not None and parent in {stored.id, *_followers(stored)}
    followers = tuple(_older(each, written, None) for each in stored.followed_by)
    if is_followed:
        # Of those that are yet to come the latest is kept longest: the others need not be asked.
        followers = (*(each for each in followers if not each.id.startswith(_TO_COME)), written)
    newer = stored.newer + (_counts_for(stored, written) and stored.id != written.id)
    is_newest = stored.is_newest_full and not (_is_newer_full(stored, written))
    if (newer, followers, is_newest) == (stored.newer, stored.followed_by, stored.is_newest_full):
        return stored
    return replace(stored, newer=newer, followed_by=followers, is_newest_full=is_newest)


def _is_newer_full(stored: SetFacts, written: SetFacts) -> bool:
    return written.is_newest_full and written.template_id == stored.template_id and written.id != stored.id


def _counts_for(stored: SetFacts, written: SetFacts) -> bool:
    """Whether it is one more of the number that is kept; where none is said, nobody counts."""
    return stored.keep_sets is not None and (stored.template_id, stored.type) == (
        written.template_id,
        written.type,
    )


def _followers(stored: SetFacts) -> Iterator[str]:
    for each in stored.followed_by:
        yield each.id
        yield from _followers(each)
