"""The format permit: deny unless every line of docs/architecture.md (The permit) applies."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.words import Words
from policy.message import M
from policy.tapes.facts import (
    CartridgeFacts,
    CartridgeState,
    PolicyKind,
    SetFacts,
    SetState,
    TapeFacts,
    TapePolicy,
)
from policy.tapes.permit import Denial, FormatFacts, decide
from policy.times.clock import LastSeen, leap

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
FROZEN = M(
    "Formats are frozen since {at} ({name}): {reason} To lift that: tapeline unfreeze {name} --why TEXT",
    at="2026-11-20 08:00 UTC",
    name="audit",
    reason="An audit.",
)
OLD = datetime(2024, 10, 15, tzinfo=UTC)
EXPIRED = datetime(2025, 10, 15, tzinfo=UTC)


def stored(**changes: Any) -> SetFacts:
    """A full backup of 2024 that is past retention."""
    facts = SetFacts("S1", 1, 5, "full", SetState.COMPLETE, "2024-10", OLD, EXPIRED)
    return replace(facts, **changes)


def tape(*sets: SetFacts, label: str | None = "TP20241015", known: bool = True, **changes: Any) -> TapeFacts:
    """The tape in the drive: a known cartridge with sets."""
    state = changes.pop("cartridge", CartridgeState.ACTIVE)
    row = CartridgeFacts(7, label or "-", label, state, None, "uuid-1", sets) if known else None
    facts = TapeFacts("formatted", label, not sets, False, (("label", label), ("volume_uuid", "uuid-1")), row)
    return replace(facts, **changes)


def facts(inserted: TapeFacts, **changes: Any) -> FormatFacts:
    """A run of this month, policy rotate, that saw this tape in precheck."""
    made = FormatFacts(
        tape=inserted,
        seen_by_precheck=inserted.identity,
        policy=TapePolicy(PolicyKind.ROTATE),
        now_local=NOW,
        run_id=12,
        period="2026-11",
    )
    return replace(made, **changes)


BLANK = TapeFacts("blank", None, None, False, (("state", "blank"),), None)


def test_a_blank_tape_may_be_formatted() -> None:
    """What the drive affirms to be blank holds nothing to lose."""
    assert decide(facts(BLANK)).allowed


def test_a_tape_whose_every_set_is_past_retention_may_be_formatted() -> None:
    """The path of a recycled tape: expired sets and destroyed ones; the answer names what will be lost."""
    decision = decide(facts(tape(stored(), stored(id="S2", state=SetState.DESTROYED, retention_until=None))))
    assert decision.allowed
    assert decision.sets_lost == ("S1", "S2")


def test_an_empty_tape_with_a_label_of_this_month_may_be_formatted() -> None:
    """A tape that the operator labelled beforehand."""
    assert decide(facts(tape(label="TP20261102", known=False))).allowed


def test_an_empty_tape_with_another_label_holds_no_unknown_files() -> None:
    """It is refused for what is wrong with it: its label."""
    denied = decide(facts(tape(label="ARCHIVE1", known=False)))
    assert denied.denials == (Denial.FOREIGN_DATA,)
    assert "is empty, and its label is none that this schedule takes" in str(denied.main_reason)
    full = decide(facts(tape(label="ARCHIVE1", known=False, empty=False)))
    assert "holds files that the catalogue does not know" in str(full.main_reason)


FOREIGN = replace(BLANK, state="foreign", drive="tape0", identity=(("state", "foreign"),))


def test_a_tape_that_ltfs_cannot_read_is_formatted_on_a_word_alone() -> None:
    """Not partitioned is not blank: somebody at the drive has to say that nothing on it is needed."""
    denied = decide(facts(FOREIGN))
    assert denied.denials == (Denial.FOREIGN_DATA,)
    assert "tapeline tape erasable --drive tape0" in str(denied.main_reason)
    assert decide(facts(replace(FOREIGN, erasable=True))).allowed


def test_no_word_erases_what_the_catalogue_says_is_kept() -> None:
    """A cartridge of ours that LTFS cannot read is a contradiction, and is not appended to either."""
    known = tape(stored(retention_until=None, period="2026-11")).known
    decision = decide(facts(replace(FOREIGN, erasable=True, known=known)))
    assert not decision.allowed
    assert not decision.append
    assert {Denial.UNREADABLE, Denial.RETAINED_SETS} <= set(decision.denials)


@pytest.mark.parametrize("state", ["inconsistent", "cleaning", "incompatible", "what comes next"])
def test_what_is_no_volume_is_not_formatted(state: str) -> None:
    """Each in its own words; a word of the operator counts for none of them."""
    decision = decide(facts(replace(BLANK, state=state, drive="tape0", erasable=True)))
    assert decision.denials == (Denial.UNREADABLE,)


@pytest.mark.parametrize("lock", ["advisory", "write_error"])
def test_a_locked_volume_is_not_formatted(lock: str) -> None:
    """Neither one that a program has locked, nor one that a write has failed on."""
    decision = decide(facts(tape(stored(), lock=lock)))
    assert decision.denials == (Denial.WRITE_PROTECTED,)
    assert ("has failed before" in str(decision.main_reason)) == (lock == "write_error")


KEPT = stored(id="S2", retention_until=None)
INCOMPLETE = replace(KEPT, state=SetState.INCOMPLETE)
DESTROYED = replace(KEPT, id="S3", state=SetState.DESTROYED)

DENIED = [
    (Denial.NO_MEDIUM, replace(BLANK, state="no_medium"), {}),
    (Denial.UNREADABLE, replace(BLANK, state="unreadable"), {}),
    (Denial.IDENTITY_CHANGED, tape(stored()), {"seen_by_precheck": (("label", "other"),)}),
    (Denial.IDENTITY_CHANGED, tape(stored()), {"seen_by_precheck": None}),
    (Denial.FOREIGN_DATA, tape(label="TP20261101", known=False, empty=False), {}),
    (Denial.FOREIGN_DATA, tape(label="TP20261101", known=False, empty=None), {}),
    (Denial.FOREIGN_DATA, tape(label="PHOTOS", known=False, empty=True), {}),
    (Denial.FOREIGN_DATA, FOREIGN, {}),
    (Denial.UNKNOWN_SETS, tape(stored()), {"unknown_sets": ("S7",)}),
    (Denial.STRANGERS, tape(stored()), {"strangers": ("photo.jpg",)}),
    (Denial.NOT_LOOKED_INTO, tape(stored()), {"is_unseen": True}),
    (Denial.RETAINED_SETS, tape(stored(retention_until=None)), {}),
    (Denial.RETAINED_SETS, tape(stored(), stored(id="S2", retention_until=NOW + timedelta(seconds=1))), {}),
    (Denial.RETAINED_SETS, tape(stored(keep_sets=3, newer=2)), {}),
    (Denial.RETAINED_SETS, tape(stored(followed_by=(stored(id="S2", retention_until=None),))), {}),
    (Denial.RETAINED_SETS, tape(stored(template_id=None)), {}),
    (Denial.RETAINED_SETS, tape(stored(is_imported=True)), {}),
    (Denial.RETAINED_SETS, tape(stored(followed_by=(INCOMPLETE,))), {}),
    (Denial.RETAINED_SETS, tape(stored(followed_by=(replace(DESTROYED, followed_by=(KEPT,)),))), {}),
    (Denial.CONTRADICTION, tape(KEPT, empty=True), {}),
    (Denial.CONTRADICTION, tape(KEPT, state="blank", label=None, empty=None), {}),
    (Denial.PERIOD_DATA, tape(stored(period="2026-11")), {}),
    (Denial.PERIOD_DATA, tape(stored(started_at=NOW - timedelta(days=1))), {}),
    (Denial.OWN_SET, tape(stored(run_id=12)), {}),
    (Denial.NEWEST_FULL, tape(stored(is_newest_full=True)), {}),
    (Denial.WRITE_PROTECTED, tape(stored(), write_protected=True), {}),
    (Denial.BAD_STATE, tape(stored(), cartridge=CartridgeState.UNKNOWN), {}),
    (Denial.BAD_STATE, tape(stored(), cartridge=CartridgeState.RETIRED), {}),
    (Denial.BAD_STATE, tape(stored(), cartridge=CartridgeState.ERROR), {}),
    (Denial.CLOCK, BLANK, {"clock_doubt": leap(NOW, LastSeen(NOW - timedelta(days=400)))}),
    (Denial.CLOCK, tape(stored()), {"clock_doubt": leap(NOW, None)}),
    (Denial.FROZEN, BLANK, {"frozen": FROZEN}),
    (Denial.FROZEN, tape(stored()), {"frozen": FROZEN}),
    (Denial.ALREADY_USED, BLANK, {"permit_used": True}),
    (Denial.FULL, tape(stored(run_id=12), cartridge=CartridgeState.FULL), {}),
    (Denial.NOT_APPENDED_TO, tape(stored(period="2026-11")), {}),
]


@pytest.mark.parametrize(
    ("denial", "inserted", "changes"), DENIED, ids=lambda value: getattr(value, "value", "")
)
def test_each_line_that_does_not_hold_denies(
    denial: Denial, inserted: TapeFacts, changes: dict[str, Any]
) -> None:
    """One thing that is wrong is enough, and it is named with a reason."""
    decision = decide(facts(inserted, **changes))
    assert not decision.allowed
    assert denial in decision.denials
    assert len(decision.reasons) == len(decision.denials)


def test_each_denial_has_reasons_of_its_own_in_both_languages() -> None:
    """None is missing, no two share a text, and the Chinese ones are Chinese."""
    texts: dict[Denial, set[str]] = {}
    for denial, inserted, changes in DENIED:
        decision = decide(facts(inserted, **changes))
        reason = decision.reasons[decision.denials.index(denial)]
        texts.setdefault(denial, set()).add(reason.id)
        chinese = Words("zh_CN").text(reason)
        assert re.search("[\u4e00-\u9fff]", chinese), chinese
        assert chinese != Words("en").text(reason)
    assert set(texts) == set(Denial)
    for one, other in combinations(texts.values(), 2):
        assert not one & other


def test_nothing_is_appended_to_a_full_tape() -> None:
    """Not even by the run whose set is on it, when that set is past its retention by now."""
    for content in ({"run_id": 12}, {"period": "2026-11"}):
        inserted = tape(stored(**content), label="TP20261101")
        assert decide(facts(inserted)).append
        assert inserted.known
        full = replace(inserted, known=replace(inserted.known, state=CartridgeState.FULL))
        decision = decide(facts(full))
        assert (decision.allowed, decision.append) == (False, False)
        assert "is full" in str(decision.main_reason)


def test_a_freeze_denies_every_format_and_no_append() -> None:
    """Also of a blank tape, and of one whose label an operator has named."""
    for inserted, changes in (
        (BLANK, {}),
        (tape(stored()), {}),
        (tape(stored(retention_until=None)), {"named_label": "TP20241015"}),
    ):
        free, frozen = decide(facts(inserted, **changes)), decide(facts(inserted, frozen=FROZEN, **changes))
        assert (free.allowed, frozen.allowed, frozen.append) == (True, False, False)
        assert frozen.main_reason is FROZEN
    this_months = tape(stored(period="2026-11"), label="TP20261101")
    assert decide(facts(this_months, frozen=FROZEN)).append


def test_only_the_named_label_lifts_retention_and_the_newest_full() -> None:
    """An operator who names the old label may lose its sets; another label lifts nothing."""
    inserted = tape(stored(is_newest_full=True, retention_until=None))
    assert decide(facts(inserted, named_label="TP20241015")).allowed
    assert not decide(facts(inserted, named_label="TP20241016")).allowed
    for more in ({"unknown_sets": ("S7",)}, {"strangers": ("photo.jpg",)}):
        assert not decide(facts(inserted, named_label="TP20241015", **more)).allowed


def test_a_set_that_came_after_the_label_was_named_is_kept() -> None:
    """What an operator gives up are the sets that were on the tape then."""
    inserted = tape(stored(retention_until=None), stored(id="S2", retention_until=None, is_newest_full=True))
    both = frozenset({"S1", "S2"})
    assert decide(facts(inserted, named_label="TP20241015", named_sets=both)).allowed
    denied = decide(facts(inserted, named_label="TP20241015", named_sets=frozenset({"S1"})))
    assert denied.denials == (Denial.RETAINED_SETS, Denial.NEWEST_FULL)
    assert all("S2" in str(reason) for reason in denied.reasons)


@pytest.mark.parametrize(
    ("sets", "appends"),
    [
        ([stored(period="2026-11", started_at=NOW, retention_until=None)], True),
        ([stored(run_id=12, started_at=NOW, retention_until=None)], True),
        ([stored(retention_until=None)], False),
        ([stored()], False),
    ],
)
def test_a_tape_with_this_months_data_is_appended_to(sets: list[SetFacts], appends: bool) -> None:
    """Denied because of this month's or this run's own data, the run appends; else it does not."""
    found = decide(facts(tape(*sets, label="TP20261101")))
    assert found.append is appends
    if appends:
        assert found.why_appended in found.reasons[: len(found.denials)]
        assert found.why_appended.id.endswith(("of this period is on the tape.", "was written by this run."))


def test_a_write_protected_tape_is_never_appended_to() -> None:
    """Any other reason beside this month's data stops the run."""
    inserted = tape(stored(started_at=NOW), label="TP20261101", write_protected=True)
    assert not decide(facts(inserted)).append


SETS = st.builds(
    SetFacts,
    id=st.sampled_from(["S1", "S2", "S9"]),
    template_id=st.sampled_from([1, 2]),
    run_id=st.sampled_from([5, 12, None]),
    type=st.just("full"),
    state=st.sampled_from(SetState),
    period=st.sampled_from(["2024-10", "2026-11", None]),
    started_at=st.sampled_from([OLD, NOW]),
    retention_until=st.sampled_from([None, EXPIRED, NOW + timedelta(days=1)]),
)


@given(
    sets=st.lists(SETS, max_size=4),
    state=st.sampled_from(["blank", "formatted", "unreadable", "no_medium"]),
    empty=st.sampled_from([True, False, None]),
    protected=st.booleans(),
    cartridge=st.sampled_from(CartridgeState),
    known=st.booleans(),
    label=st.sampled_from(["TP20241015", "TP20261101", "PHOTOS", None]),
    kind=st.sampled_from(["rotate", "current_month", "pool:a"]),
    used=st.booleans(),
)
def test_what_is_kept_is_never_allowed_to_be_lost(
    sets: list[SetFacts],
    state: str,
    empty: bool | None,
    protected: bool,
    cartridge: CartridgeState,
    known: bool,
    label: str | None,
    kind: str,
    used: bool,
) -> None:
    """Whatever the facts: no permit for a tape with a kept set, a protected or unreadable one, or twice."""
    inserted = tape(*sets, label=label, known=known, state=state, empty=empty, cartridge=cartridge)
    inserted = replace(inserted, write_protected=protected)
    decision = decide(facts(inserted, policy=TapePolicy.parse(kind), permit_used=used))
    if not decision.allowed:
        assert decision.reasons
        return
    assert state in {"blank", "formatted"}
    assert not protected
    assert not used
    if known:
        assert cartridge in {CartridgeState.ACTIVE, CartridgeState.FULL}
        lost = [s for s in sets if s.state is not SetState.DESTROYED]
        assert all(s.run_id != 12 and s.period != "2026-11" and s.started_at != NOW for s in lost)
        if state == "formatted" and not empty:
            assert all(s.retention_until == EXPIRED for s in lost)
    elif state == "formatted":
        assert empty
        assert label == "TP20261101"


def test_a_set_is_kept_as_long_as_what_follows_it() -> None:
    """The full set of a chain stays while the last increment is kept; the reason names what needs it."""
    last = stored(id="S3", retention_until=None)
    chain = stored(followed_by=(stored(id="S2", followed_by=(last,)),))
    decision = decide(facts(tape(chain)))
    assert any("S2" in str(reason) for reason in decision.reasons)
    gone = stored(followed_by=(stored(id="S2", followed_by=(replace(last, state=SetState.DESTROYED),)),))
    assert decide(facts(tape(gone))).allowed


@given(
    days=st.none() | st.integers(-5, 5),
    keep=st.none() | st.integers(1, 4),
    newer=st.integers(0, 5),
    marked=st.booleans(),
)
def test_retention_by_days_and_by_number(
    days: int | None, keep: int | None, newer: int, marked: bool
) -> None:
    """Without a limit for ever; with one or both as long as any of them says; a mark ends both."""
    until = None if days is None else NOW + timedelta(days=days)
    facts_of_set = stored(retention_until=until, keep_sets=keep, newer=newer, expired=marked)
    no_limit = days is None and keep is None
    kept = no_limit or (days is not None and days > 0) or (keep is not None and newer < keep)
    assert facts_of_set.may_be_lost(NOW) is (marked or not kept)
