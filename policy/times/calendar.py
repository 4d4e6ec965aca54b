"""Which tape each future run needs, what it would erase and how full it would be: the rules, simulated.

Nothing is certain about a future run; it is assumed to happen in time, to succeed, and to be as large as the
median of earlier ones.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
)
from policy.tapes.permit import FormatFacts
from policy.tapes.verdict import (
    Answer,
    Question,
    Verdict,
    judge,
)
from policy.times import period
from policy.times.shelf import LOOKED_AT, PlannedRun, Shelf, ShelfTape, Written

_FULL = "full"


@dataclass(frozen=True, slots=True)
class CalendarEntry:
    """A future run with its tape."""

    planned: PlannedRun
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
    slot: int | None = None
    """The slot of its drive's library that the tape, or the one that follows it when it is full, comes from
    by itself."""
    library: str | None = None
    """The library that feeds its drive."""
    begins: datetime | None = None
    """When it begins to work, in its window and behind those before it at its drive; None: not computed."""
    nights: int = 1
    """How many openings of its window it takes: more than one if a night is too short for it."""

    @property
    def opens(self) -> datetime:
        """When it may begin: when it is due, or when its window opens next."""
        run = self.planned
        return run.at if run.window is None else run.window.opening(run.at)

    @property
    def needs_a_blank(self) -> bool:
        """Whether a blank tape must be ready that nothing brings: to begin with, or when the tape is full."""
        return self.needs_hands and self.label is not None and not (self.insert and self.tape_id)

    @property
    def needs_hands(self) -> bool:
        """Whether somebody must have another tape ready before: nothing brings it."""
        return self.slot is None and (self.insert or self.fits is False)

    @property
    def fits(self) -> bool | None:
        if self.used_after is None or self.capacity is None:
            return None
        return self.used_after <= self.capacity


@dataclass(slots=True)
class Stock:
    """All tapes: in the drives, by name, and on the shelf. The simulation changes it."""

    loaded: dict[str, ShelfTape]
    shelf: list[ShelfTape]
    newest_full: dict[int, str | None]
    """The full set of each template that a differential one would follow."""
    newest: dict[int, str | None]
    """The set of each template that an incremental one would follow."""
    capacity: int | None = None
    """Of a new tape, in bytes."""
    labels: set[str] = field(default_factory=set)
    """Every label in use."""
    look: Callable[[Sequence[int]], Mapping[int, tuple[SetFacts, ...]]] = field(default=lambda _ids: {})
    """The sets on some cartridges: the few whose sets matter are asked for together."""
    written: list[Written] = field(default_factory=list)
    """The simulated sets."""


def play(stock: Stock, runs: Iterable[PlannedRun]) -> Iterator[CalendarEntry]:
    """One entry for each run; ``runs`` ascend in time."""
    shelf = Shelf(stock.shelf)
    for run in runs:
        local = run.at.astimezone(ZoneInfo(run.time_zone))
        inside = stock.loaded.get(run.drive)
        verdict = _verdict(stock, run, inside, local) if inside else None
        if inside is None or verdict is None or verdict.answer is Answer.REFUSE:
            inside, verdict = _fetch(stock, shelf, run, local)
        if inside is None or verdict is None:
            yield CalendarEntry(run, None, None, insert=True, format=False, erases=(), used_before=0)
            continue
        before = stock.loaded.get(run.drive)
        yield _entry(stock, run, inside, verdict, local)
        if before is not None and before is not inside:
            shelf.put(before, stock.written)


def _parent(stock: Stock, run: PlannedRun) -> str | None:
    """The set that an increment would follow."""
    if run.type == "full":
        return None
    return (stock.newest_full if run.type == "differential" else stock.newest).get(run.template_id)


def _is_full(stock: Stock, run: PlannedRun) -> bool:
    """A full backup formats its tape if the permit allows; any other is appended to one."""
    return _parent(stock, run) is None


def _entry(
    stock: Stock, run: PlannedRun, tape: ShelfTape, verdict: Verdict, local: datetime
) -> CalendarEntry:
    """Simulate the run on this tape; afterwards the tape is in the drive, with the set on it."""
    formats = verdict.answer is Answer.FORMAT
    name = label.to_ask_for(local, stock.labels - tape.own) if formats else tape.facts.label or ""
    before = 0 if formats else tape.used
    entry = CalendarEntry(
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
    tape.is_played = tape.is_played or formats or entry.insert
    stock.loaded[run.drive] = tape
    _write(stock, run, tape, name, before, formatted=formats)
    return entry


def _verdict(stock: Stock, run: PlannedRun, tape: ShelfTape, local: datetime) -> Verdict:
    begins = _is_full(stock, run)
    facts = FormatFacts(
        tape=_facts(stock, tape, local) if begins else tape.facts,
        seen_by_precheck=tape.facts.identity,
        policy=run.policy,
        now_local=local,
        run_id=None,
        period=period.key(run.schedule_type, run.at, run.time_zone),
    )
    return judge(Question(facts, begins=begins))


def _facts(stock: Stock, tape: ShelfTape, local: datetime) -> TapeFacts:
    """A tape as a run sees it that may format it. A set of this month that is kept decides by itself: the
    run appends, or refuses the tape, whatever else is on it."""
    known = tape.facts.known
    if known is not None and tape.added and tape.facts.state == "formatted" and tape.facts.empty is False:
        last = tape.added[-1]
        [newest] = _older([stock.written[last][0]], stock.written[last + 1 :])
        began = newest.started_at.astimezone(local.tzinfo)
        if newest.kept_until > local and (began.year, began.month) == (local.year, local.month):
            return replace(tape.facts, known=replace(known, sets=(newest,)))
    _age(stock, tape)
    return tape.facts


def _fetch(
    stock: Stock, shelf: Shelf, run: PlannedRun, local: datetime
) -> tuple[ShelfTape, Verdict] | tuple[None, None]:
    """The tape that somebody must insert: one from the shelf that the rules permit, else a blank one."""
    begins, size = _is_full(stock, run), LOOKED_AT
    places = shelf.for_run(run, local, begins=begins)
    for number, place in enumerate(places):
        tape = shelf.tapes[place]
        if begins and not tape.is_known:
            _know(stock, [shelf.tapes[each] for each in places[number : number + size]])
            size *= 2
        verdict = _verdict(stock, run, tape, local)
        if verdict.answer is not Answer.REFUSE:
            shelf.take(place)
            return tape, verdict
    if not begins:
        return None, None
    # A pool has none until the operator puts one in, which must happen before the run.
    pool = run.policy.pool
    known = CartridgeFacts(0, "", None, CartridgeState.ACTIVE, pool, None) if pool else None
    blank = ShelfTape(
        TapeFacts("blank", None, empty=True, write_protected=False, identity=(), known=known),
        0,
        stock.capacity,
    )
    return blank, _verdict(stock, run, blank, local)


def _know(stock: Stock, tapes: Iterable[ShelfTape]) -> None:
    """Have the sets of some tapes loaded, with one question for all."""
    known = {each.facts.known.id: each for each in tapes if not each.is_known and each.facts.known}
    sets_by_tape = stock.look([*known]) if known else {}
    for number, tape in known.items():
        assert tape.facts.known is not None, "it was asked about"
        sets = sets_by_tape.get(number, ())
        # What was written to it since is there, in any case.
        empty = not sets and not tape.added
        tape.facts = replace(tape.facts, empty=empty, known=replace(tape.facts.known, sets=sets))
        tape.is_known = True


def _write(
    stock: Stock, run: PlannedRun, tape: ShelfTape, name: str, before: int, *, formatted: bool
) -> None:
    """The world after the run: its set is on the tape, and earlier sets are older."""
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
    if formatted:
        known, tape.is_known, tape.added = replace(known, tape_id=name, sets=()), True, ()
        tape.kept_until = retention.ALWAYS
    tape.facts = replace(
        tape.facts, state="formatted", label=name, empty=False, known=replace(known, label=name)
    )
    tape.added = (*tape.added, len(stock.written))
    stock.written.append((written, parent))
    stock.labels.add(name)
    tape.used, tape.own, tape.begun = before + (run.size or 0), tape.own | {name}, retention.NEVER


def _age(stock: Stock, tape: ShelfTape) -> None:
    """Bring a tape up to date with everything that was simulated, here or elsewhere: its sets have newer
    ones, or are followed by one. That is done only when somebody asks about them."""
    _know(stock, [tape])
    since, known = stock.written[tape.as_of :], tape.facts.known
    if since and known is not None:
        here = frozenset(place - tape.as_of for place in tape.added)
        tape.facts = replace(tape.facts, known=replace(known, sets=_older(known.sets, since, here)))
    tape.as_of, tape.added = len(stock.written), ()


def _older(
    sets: Iterable[SetFacts], since: Sequence[Written], here: Collection[int] = ()
) -> tuple[SetFacts, ...]:
    """Sets after others were written; with those of the others that are ``here``, too, by their places."""
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

    joined: list[SetFacts] = []
    for place in reversed(range(len(since))):
        written, parent = since[place]
        older = after(written)
        if place in here:
            joined.append(older)
        newer[written.template_id, written.type] += 1
        if parent is not None:
            followers[parent].append(older)
    return (*kin.changed(sets, after), *reversed(joined))
