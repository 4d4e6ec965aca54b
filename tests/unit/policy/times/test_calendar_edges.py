"""The calendar where one fact decides: whose set it is, what follows it, what is taken, what is left."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.tapes.facts import SetFacts, SetState
from policy.times.calendar import CalendarEntry, Stock, play
from policy.times.period import ScheduleType
from policy.times.shelf import PlannedRun, ShelfTape
from tests.unit.policy.times.test_calendar import TB, brief, run, stock, tape

KEPT_LONG = datetime(2028, 1, 1, tzinfo=UTC)


def tapes(given: Stock, *runs: PlannedRun) -> list[str | None]:
    """The cartridge of each run; None: a blank one."""
    return [entry.tape_id for entry in play(given, runs)]


def of_another(planned: PlannedRun, **changes: Any) -> PlannedRun:
    return replace(planned, template_id=2, schedule="other", **changes)


def with_set(of: ShelfTape, stored: SetFacts) -> ShelfTape:
    known = of.facts.known
    assert known
    facts = replace(of.facts, empty=False, known=replace(known, sets=(*known.sets, stored)))
    return replace(of, facts=facts)


def test_a_run_without_a_tape_is_told_whole() -> None:
    """An increment with no tape of its month: there is nothing to write on, and another has to come."""
    planned = run("2026-12-01", kind="incremental")
    [entry] = play(stock(tape("TP20261101", "2027-12-01"), newest="TP20261101-0"), [planned])
    assert entry == CalendarEntry(planned, None, None, insert=True, format=False, erases=(), used_before=0)
    assert entry.fits is None


def test_the_month_is_that_of_the_schedules_zone() -> None:
    """It is December there already."""
    planned = replace(run("2026-11-30T20:00"), time_zone="Asia/Shanghai")
    [entry] = play(stock(), [planned])
    assert (entry.label, entry.planned) == ("TP20261201", planned)


def test_what_a_tape_has_before_and_after() -> None:
    """One that is appended to keeps its label and what is on it, one that is formatted is empty first."""
    loaded = tape("TP20261103", "2027-11-10")
    [appended] = play(stock(loaded=loaded), [run("2026-11-20", policy="rotate")])
    assert (appended.label, appended.format) == ("TP20261103", False)
    assert (appended.used_before, appended.used_after, appended.capacity) == (TB, 2 * TB, 12 * TB)
    [formatted] = play(stock(tape("TP20251101", "2026-11-15")), [run("2026-12-01", policy="rotate")])
    assert (formatted.used_before, formatted.used_after) == (0, TB)
    unknown = [run(f"2026-12-{day}", size=size) for day, size in (("01", None), ("02", TB))]
    assert [entry.used_before for entry in play(stock(), unknown)] == [0, 0]


def test_what_an_earlier_run_leaves() -> None:
    """In the drive, or with its label; what was in the drive all along is nobody's to leave."""
    runs = [run("2026-11-20", policy="rotate"), run("2026-11-21", policy="rotate"), run("2026-12-01"),
            run("2026-12-02")]  # fmt: skip
    found = [*play(stock(loaded=tape("TP20261101", "2027-11-10")), runs)]
    assert [entry.is_left for entry in found] == [False, False, False, True]
    fetched = stock(tape("TP20261101", "2027-11-10"))
    assert [entry.is_left for entry in play(fetched, runs[:2])] == [False, True]


def test_a_differential_backup_follows_the_full_one() -> None:
    """Where only an increment is known, it is full itself; an increment follows that."""
    for kind, formats in (("differential", True), ("incremental", False)):
        given = stock(loaded=tape("TP20261201"))
        given.newest[1] = "something"
        [entry] = play(given, [run("2026-12-02", kind=kind)])
        assert entry.format is formats


def test_a_set_that_was_played_is_kept_as_long_as_its_schedule_says() -> None:
    """Then its tape comes round again, and only its own set is erased."""
    months = [run(f"2026-{month}", policy="rotate", days=30) for month in ("09-01", "10-01", "11-05")]
    assert tapes(stock(), *months) == [None, None, "TP20260901"]
    kept = [replace(each, retention_days=400) for each in months]
    assert tapes(stock(), *kept) == [None, None, None]
    again = play(stock(tape("TP20251101", "2026-01-01")), months)
    assert [entry.erases for entry in again] == [("TP20251101-0",), (), ("(monthly 2026-09-01 00:00)",)]


def test_what_was_on_a_tape_before_an_append_is_still_there() -> None:
    """Kept longer than what was appended."""
    given = stock(loaded=tape("TP20261101", "2027-11-10"))
    months = [run(day, policy="rotate", days=1) for day in ("2026-11-15", "2027-01-01", "2027-02-02")]
    assert tapes(given, *months) == ["TP20261101", None, None]


def test_increments_do_not_stand_in_for_full_backups() -> None:
    """Of the newest two that are kept; a first increment, which is a full backup, does."""
    full = {"policy": "rotate", "days": None, "keep": 2}
    incremental = [run(f"2026-10-0{day}", kind="incremental", **full) for day in (2, 3)]  # type: ignore[arg-type]
    monthly = [run(f"2026-{month}-01", **full) for month in ("09", "10", "11")]  # type: ignore[arg-type]
    found = tapes(stock(), *monthly[:2], *incremental, monthly[2])
    assert found == [None, None, "TP20261001", "TP20261001", None]
    one = {"policy": "rotate", "days": None, "keep": 1}
    runs = [run("2026-09-01", kind="incremental", **one), *(  # type: ignore[arg-type]
        run(f"2026-{month}-01", **one) for month in ("10", "11")  # type: ignore[arg-type]
    )]  # fmt: skip
    assert tapes(stock(), *runs) == [None, None, "TP20260901"]


def test_data_of_this_period_are_not_erased() -> None:
    """Three full backups of one year: each needs a tape of its own, though the first is past retention."""
    year = [
        replace(run(f"2026-{month}-01", policy="rotate", days=1), schedule_type=ScheduleType.YEARLY)
        for month in ("01", "02", "03")
    ]
    assert tapes(stock(), *year) == [None, None, None]


def test_two_drives_are_given_two_labels() -> None:
    """What one run has written is taken for the next."""
    found = play(stock(), [run("2026-12-01"), of_another(run("2026-12-01T01:00"), drive="tape1")])
    assert [entry.label for entry in found] == ["TP20261201", "TP20261202"]


def test_a_full_backup_that_is_followed_on_another_tape_is_kept() -> None:
    """As long as what follows it, though its own time is over."""
    runs = [
        run("2026-09-01", days=1),
        run("2026-10-05", policy="rotate", days=400, kind="differential"),
        *(run(f"2026-{month}-01", policy="rotate", days=1) for month in ("11", "12")),
    ]
    assert tapes(stock(tape("TP20261001")), *runs) == [None, "TP20261001", None, None]
    short = [replace(each, retention_days=1) for each in runs]
    assert tapes(stock(tape("TP20261001")), *short)[-1] == "TP20260901"


@pytest.mark.parametrize("needed", [True, False])
def test_what_follows_already_goes_on_to_count(needed: bool) -> None:
    """Beside an increment that is yet to come and is kept for a day."""
    follower = SetFacts(
        "I", 1, 2, "incremental", SetState.COMPLETE, None, datetime(2026, 9, 2, tzinfo=UTC),
        KEPT_LONG if needed else datetime(2026, 9, 3, tzinfo=UTC),
    )  # fmt: skip
    full = replace(
        follower, id="F", type="full", started_at=datetime(2026, 9, 1, tzinfo=UTC),
        retention_until=datetime(2026, 9, 2, tzinfo=UTC), followed_by=(follower,), is_newest_full=True,
    )  # fmt: skip
    given = stock(tape("TP20261001"))
    given.shelf.append(with_set(tape("TP20260901"), full))
    given.newest, given.newest_full = {1: "I"}, {1: "F"}
    runs = [
        run("2026-10-05", policy="rotate", days=1, kind="incremental"),
        *(run(f"2026-{month}-01", policy="rotate", days=1) for month in ("11", "12")),
    ]
    # The second full one is the first that another newest full backup stands behind.
    assert tapes(given, *runs)[2] == (None if needed else "TP20260901")


def test_the_newest_full_backup_of_one_schedule_is_not_that_of_another() -> None:
    """It is not erased, however many of the other come after it."""
    given = stock(tape("TP20251101", "2026-01-01"), newest="TP20251101-0")
    months = [of_another(run(f"{month}-01", policy="rotate", days=400)) for month in ("2026-12", "2027-01")]
    assert tapes(given, *months) == [None, None]


def test_a_tape_without_a_label_has_none_when_it_is_appended_to() -> None:
    """Nobody is told to write one on it."""
    vault = tape("VAULT", "2027-12-01", pool="vault")
    bare = replace(vault, facts=replace(vault.facts, label=None))
    planned = run("2026-12-01", policy="pool:vault", kind="incremental")
    [entry] = play(stock(bare, newest="VAULT-0"), [planned])
    assert (entry.tape_id, entry.label, entry.format) == ("VAULT", "", False)


def test_a_tape_with_a_name_of_its_own_is_asked_for_by_it_again() -> None:
    """Whatever its label; a format gives it both."""
    vault = tape("VAULT", "2026-11-10", pool="vault")
    named = replace(vault, facts=replace(vault.facts, label="TP20251101"))
    given = stock(named, newest="VAULT-0")
    appended = [run(f"2026-11-0{day}", policy="pool:vault", kind="incremental") for day in (2, 3)]
    found = [*play(given, appended)]
    assert [(entry.tape_id, entry.label) for entry in found] == [("VAULT", "TP20251101")] * 2


def test_a_tape_in_the_drive_that_a_run_formats_is_left_by_it() -> None:
    """The next run finds it under a label that it does not have yet."""
    runs = [run("2026-12-01", policy="rotate"), run("2026-12-02", policy="rotate")]
    found = [*play(stock(loaded=tape("TP20251101", "2026-11-15")), runs)]
    assert [(entry.format, entry.insert, entry.is_left) for entry in found] == [
        (True, False, False), (False, False, True),
    ]  # fmt: skip


def test_each_later_set_counts_once_however_often_a_tape_is_looked_at() -> None:
    """Three are kept: the first tape comes round with the fifth month."""
    monthly = [run(f"2026-{month:02}-01", policy="rotate", days=None, keep=3) for month in range(5, 11)]
    assert tapes(stock(), *monthly) == [None, None, None, None, "TP20260501", "TP20260601"]


def test_a_tape_that_nobody_knows_stays_what_it_is() -> None:
    """Whatever other drives write meanwhile: it is swapped for a blank one."""
    stranger = tape("STRANGER")
    facts = replace(stranger.facts, known=None, label="ELSEWHERE", empty=False)
    given = stock()
    given.loaded["tape1"] = replace(stranger, facts=facts)
    found = play(given, [run("2026-12-01"), of_another(run("2026-12-02"), drive="tape1")])
    assert [(entry.tape_id, entry.label, entry.insert) for entry in found] == [
        (None, "TP20261201", True), (None, "TP20261202", True),
    ]  # fmt: skip


TAPES = st.lists(
    st.tuples(
        st.sampled_from(["TP202611", "TP202612", "TP202510", "X"]),
        st.lists(st.sampled_from(["2026-11-01", "2026-12-10", "2027-01-20", "2028-01-01"]), max_size=3),
        st.sampled_from([None, None, "vault"]),
    ),
    max_size=12,
)
RUNS = st.lists(
    st.tuples(
        st.integers(0, 70), st.sampled_from(["rotate", "current_month", "pool:vault"]),
        st.sampled_from(["full", "incremental"]), st.sampled_from([None, 2]), st.sampled_from([None, 5, 90]),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


@given(tapes=TAPES, runs=RUNS)
def test_tapes_whose_sets_are_loaded_when_they_matter_give_the_same_calendar(
    tapes: list[tuple[str, list[str], str | None]], runs: list[tuple[int, str, str, int | None, int | None]]
) -> None:
    """Until when something on a tape is certainly kept, and its label, decide about most of them."""
    planned = [
        run(f"{BEGIN + timedelta(days=day):%Y-%m-%d}", policy=policy, kind=kind, keep=keep, days=days)
        for day, policy, kind, keep, days in sorted(runs, key=lambda each: each[0])
    ]
    known = [
        numbered(tape(f"{name}{number:02}", *until, pool=pool), number)
        for number, (name, until, pool) in enumerate(tapes, 1)
    ]
    sets = {each.facts.known.id: each.facts.known.sets for each in known if each.facts.known}
    later = stock(*(unloaded(each) for each in known))
    later.look = lambda ids: {number: sets[number] for number in ids}
    assert [brief(each) for each in play(later, planned)] == [
        brief(each) for each in play(stock(*known), planned)
    ]


BEGIN = datetime(2026, 12, 1, tzinfo=UTC)


def numbered(of: ShelfTape, number: int) -> ShelfTape:
    assert of.facts.known is not None
    return replace(of, facts=replace(of.facts, known=replace(of.facts.known, id=number)))


def unloaded(of: ShelfTape) -> ShelfTape:
    """The tape with what is certain of its sets, as an index gives it, instead of the sets."""
    known = of.facts.known
    assert known is not None
    return replace(
        of,
        facts=replace(of.facts, empty=False, known=replace(known, sets=())),
        kept_until=max((each.kept_at_least for each in known.sets), default=of.kept_until),
        begun=max((each.started_at for each in known.sets), default=of.kept_until),
        is_known=False,
    )
