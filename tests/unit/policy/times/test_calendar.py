"""The calendar: which tape a future run needs, played ahead with the rules of permit and precheck."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from policy.tapes.facts import (
    CartridgeFacts,
    CartridgeState,
    SetFacts,
    SetState,
    TapeFacts,
    TapePolicy,
)
from policy.times.calendar import CalendarEntry, Stock, play
from policy.times.period import ScheduleType
from policy.times.shelf import PlannedRun, ShelfTape

TB = 10**12


def run(
    at: str,
    *,
    policy: str = "current_month",
    size: int | None = TB,
    days: int | None = 400,
    keep: int | None = None,
    kind: str = "full",
) -> PlannedRun:
    return PlannedRun(
        at=datetime.fromisoformat(at).replace(tzinfo=UTC),
        schedule="monthly",
        schedule_type=ScheduleType.MONTHLY,
        time_zone="UTC",
        drive="tape0",
        policy=TapePolicy.parse(policy),
        template_id=1,
        retention_days=days,
        keep_sets=keep,
        type=kind,
        size=size,
    )


def tape(
    name: str, *kept_until: str, pool: str | None = None, state: Any = CartridgeState.ACTIVE
) -> ShelfTape:
    """A known cartridge with one set for each date until which it is kept, written a year before."""
    sets = tuple(
        SetFacts(
            id=f"{name}-{number}",
            template_id=1,
            run_id=number,
            type="full",
            state=SetState.COMPLETE,
            period=None,
            started_at=datetime.fromisoformat(until).replace(tzinfo=UTC) - timedelta(days=365),
            retention_until=datetime.fromisoformat(until).replace(tzinfo=UTC),
        )
        for number, until in enumerate(kept_until)
    )
    known = CartridgeFacts(len(name), name, name, state, pool, f"uuid-{name}", sets)
    facts = TapeFacts("formatted", name, not sets, False, (("label", name),), known)
    return ShelfTape(facts, len(sets) * TB, 12 * TB, frozenset({name}))


def stock(*shelf: ShelfTape, loaded: ShelfTape | None = None, newest: str | None = None) -> Stock:
    shelf = tuple(with_newest(each, newest) for each in shelf)
    loaded = with_newest(loaded, newest) if loaded else None
    every = [*shelf, *([loaded] if loaded else [])]
    return Stock(
        loaded={"tape0": loaded} if loaded else {},
        shelf=list(shelf),
        newest_full={1: newest},
        newest={1: newest},
        capacity=12 * TB,
        labels={each.facts.label or "" for each in every},
    )


def with_newest(of: ShelfTape, newest: str | None) -> ShelfTape:
    known = of.facts.known
    assert known is not None
    sets = tuple(replace(each, is_newest_full=each.id == newest) for each in known.sets)
    return replace(of, facts=replace(of.facts, known=replace(known, sets=sets)))


def brief(entry: CalendarEntry) -> tuple[str | None, str | None, bool, bool, tuple[str, ...]]:
    return entry.tape_id, entry.label, entry.insert, entry.format, entry.erases


def test_each_month_needs_a_blank_tape_and_the_second_run_of_a_month_appends() -> None:
    """Labelled for the month; what the first run writes is on the tape when the second one comes."""
    found = play(stock(), [run("2026-12-01"), run("2026-12-15"), run("2027-01-01")])
    assert [brief(entry) for entry in found] == [
        (None, "TP20261201", True, True, ()),
        ("TP20261201", "TP20261201", False, False, ()),
        (None, "TP20270101", True, True, ()),
    ]


def test_a_tape_that_was_labelled_beforehand_is_asked_for() -> None:
    """An empty cartridge of the month stands on the shelf: it is known, and nothing is erased."""
    [entry] = play(stock(tape("TP20261201")), [run("2026-12-01")])
    assert brief(entry) == ("TP20261201", "TP20261201", True, True, ())


def test_rotation_takes_an_expired_tape_and_says_what_it_erases() -> None:
    """Of the tapes on the shelf it is the one whose every set is past retention on that day."""
    shelf = [tape("TP20251201", "2026-12-20"), tape("TP20251101", "2026-11-15", "2026-11-30")]
    [entry] = play(stock(*shelf), [run("2026-12-01", policy="rotate")])
    assert brief(entry) == ("TP20251101", "TP20261201", True, True, ("TP20251101-0", "TP20251101-1"))


def test_the_newest_full_backup_is_not_erased_by_the_run_that_replaces_it() -> None:
    """Expired or not, it is kept until another one is there: by the second month that is so."""
    only = tape("TP20251101", "2026-11-15")
    first, second = play(
        stock(only, newest="TP20251101-0"),
        [run("2026-12-01", policy="rotate"), run("2027-01-01", policy="rotate")],
    )
    assert brief(first) == (None, "TP20261201", True, True, ())
    assert brief(second) == ("TP20251101", "TP20270101", True, True, ("TP20251101-0",))


def test_a_cartridge_that_must_not_be_written_is_never_asked_for() -> None:
    """Unknown, retired or in error: a blank tape is needed, under the next free number of the month."""
    for state in (CartridgeState.UNKNOWN, CartridgeState.RETIRED, CartridgeState.ERROR):
        [entry] = play(stock(tape("TP20261201", state=state)), [run("2026-12-01")])
        assert brief(entry) == (None, "TP20261202", True, True, ())


def test_only_a_full_backup_formats_the_others_are_appended() -> None:
    """An increment finds no tape in a new month before the month's full backup; after it there is one."""
    old = tape("TP20251101", "2026-01-01")
    found = play(
        stock(old, tape("TP20261101", "2027-12-01"), newest="TP20261101-0"),
        [
            run("2026-12-01", policy="rotate", kind="incremental"),
            run("2026-12-02", policy="rotate"),
            run("2026-12-03", policy="rotate", kind="differential"),
        ],
    )
    assert [brief(entry) for entry in found] == [
        (None, None, True, False, ()),
        ("TP20251101", "TP20261201", True, True, ("TP20251101-0",)),
        ("TP20261201", "TP20261201", False, False, ()),
    ]


def test_an_increment_with_nothing_to_follow_is_a_full_backup() -> None:
    """As its first run will be: it formats a blank tape, and the second is appended."""
    runs_ = [run("2026-12-01", kind="incremental"), run("2026-12-02", kind="incremental")]
    assert [brief(entry) for entry in play(stock(), runs_)] == [
        (None, "TP20261201", True, True, ()),
        ("TP20261201", "TP20261201", False, False, ()),
    ]


def test_a_set_is_kept_while_it_is_one_of_the_newest_or_followed() -> None:
    """Two of a kind are kept: the third month erases the first tape; with an increment that is kept longer, a
    blank one is needed."""
    monthly = [
        run(f"2026-{month}-01", policy="rotate", days=None, keep=2) for month in ("09", "10", "11", "12")
    ]
    labels = [entry.tape_id for entry in play(stock(), monthly)]
    assert labels == [None, None, None, "TP20260901"]
    follower = run("2026-09-02", policy="rotate", days=400, kind="incremental")
    with_follower = [monthly[0], follower, *monthly[1:]]
    assert [entry.tape_id for entry in play(stock(), with_follower)] == [None, "TP20260901", None, None, None]


def test_a_pool_gives_its_own_tapes_only() -> None:
    """An expired tape of another pool stays where it is."""
    shelf = [tape("OTHER", "2026-01-01"), tape("VAULT", "2026-01-01", pool="vault")]
    found = play(
        stock(*shelf), [run("2026-12-01", policy="pool:vault"), run("2027-01-01", policy="pool:vault")]
    )
    assert [brief(entry) for entry in found] == [
        ("VAULT", "TP20261201", True, True, ("VAULT-0",)),
        (None, "TP20270101", True, True, ()),
    ]


def test_the_fill_grows_with_every_run_and_says_when_it_is_too_much() -> None:
    """The size of a run is that of earlier ones; where there were none, nothing is said."""
    runs = [run(day, size=5 * TB) for day in ("2026-12-01", "2026-12-10", "2026-12-20")]
    found = [(entry.used_before, entry.used_after, entry.fits) for entry in play(stock(), runs)]
    assert found == [(0, 5 * TB, True), (5 * TB, 10 * TB, True), (10 * TB, 15 * TB, False)]
    [unknown] = play(stock(), [run("2026-12-01", size=None)])
    assert (unknown.used_after, unknown.fits) == (None, None)


def test_what_is_in_the_drive_is_swapped_for_what_is_needed_and_stands_on_the_shelf() -> None:
    """December's tape is still in the drive in January; in rotation it comes back when it has expired."""
    december = tape("TP20261201", "2027-11-20")
    loaded = stock(loaded=december)
    first, second = play(
        loaded, [run("2027-01-01", policy="rotate"), run("2027-12-01", policy="rotate", days=30)]
    )
    assert brief(first) == (None, "TP20270101", True, True, ())
    assert brief(second) == ("TP20261201", "TP20271201", True, True, ("TP20261201-0",))
