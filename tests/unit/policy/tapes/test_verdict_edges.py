"""Where one fact alone decides: each of these lines could be changed, and nothing near it noticed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from policy.errors import UsageError
from policy.message import M, Message
from policy.tapes import media, retention, verdict
from policy.tapes.facts import (
    CartridgeFacts,
    CartridgeState,
    SetFacts,
    SetState,
    TapeFacts,
    TapePolicy,
)
from policy.tapes.permit import Denial, FormatFacts, decide
from policy.tapes.verdict import Answer, Objection, Question
from policy.times import period

NOW = datetime(2026, 11, 23, 20, tzinfo=UTC)
LONG_AGO = datetime(2024, 10, 15, tzinfo=UTC)
ROTATE, THIS_MONTH = TapePolicy.parse("rotate"), TapePolicy.parse("current_month")
KEPT = SetFacts("kept", 1, 5, "full", SetState.COMPLETE, "2024-10", LONG_AGO, None)
OVER = replace(KEPT, id="over", retention_until=LONG_AGO)


def tape(
    *sets: SetFacts, label: str = "TP20241015", state: str = "formatted", empty: bool | None = False
) -> TapeFacts:
    """A sound cartridge that the catalogue knows."""
    known = CartridgeFacts(7, label, label, CartridgeState.ACTIVE, None, "u", sets)
    return TapeFacts(state, label, empty, False, (("volume_uuid", "u"),), known)


def marked(found: TapeFacts, state: CartridgeState) -> TapeFacts:
    assert found.known
    return replace(found, known=replace(found.known, state=state))


def facts(found: TapeFacts, policy: TapePolicy = ROTATE, **changes: object) -> FormatFacts:
    made = FormatFacts(found, found.identity, policy, NOW, run_id=12, period="2026-11")
    return replace(made, **changes)  # type: ignore[arg-type]


def objections(found: TapeFacts, *, begins: bool = True, **changes: object) -> list[Objection]:
    is_let_pass = bool(changes.pop("is_let_pass", False))
    question = Question(facts(found, **changes), begins=begins, is_let_pass=is_let_pass)  # type: ignore[arg-type]
    return [objection for objection, _ in verdict.at_first(question)]


@pytest.mark.parametrize("is_own", [True, False, None])
def test_what_is_no_sound_volume_is_never_written(is_own: bool | None) -> None:
    """Not even by the run that has formatted it."""
    good = tape(label="TP20261101")
    bad = [
        replace(good, state="blank"),
        replace(good, state="unreadable"),
        replace(good, write_protected=True),
        *(marked(good, state) for state in CartridgeState if state not in {"active", "full"}),
    ]
    written = [verdict.may_write(each, THIS_MONTH, NOW, is_own=is_own) for each in (good, *bad)]
    assert written == [is_own is not False, *(False for _ in bad)]


@pytest.mark.parametrize(("label", "appends"), [("TP20261101", True), ("TP20241015", False)])
def test_a_runs_own_volume_is_written_whatever_its_label(label: str, appends: bool) -> None:
    """And another one only where the schedule's policy appends to it."""
    found = tape(label=label)
    asked = [verdict.may_write(found, ROTATE, NOW, is_own=is_own) for is_own in (True, False, None)]
    assert asked == [True, False, appends]


@pytest.mark.parametrize(("state", "begins", "passes"), [
    ("unreadable", True, True), ("unreadable", False, False), ("no_medium", True, False),
])  # fmt: skip
def test_only_an_unreadable_label_is_let_pass(state: str, begins: bool, passes: bool) -> None:
    """To a format that looks again, and to nothing else."""
    found = tape(state=state)
    assert (objections(found, begins=begins, is_let_pass=True) == []) is passes
    assert objections(found, begins=begins) != []


def test_a_full_tape_is_too_full_unless_it_may_be_formatted() -> None:
    """Because all on it is over, or because an operator has named it."""
    kept, over = (marked(tape(each), CartridgeState.FULL) for each in (KEPT, OVER))
    assert Objection.FULL in objections(kept)
    assert Objection.FULL not in objections(kept, named_label="TP20241015")
    assert Objection.FULL in objections(kept, named_label="TP20241016")
    assert Objection.FULL not in objections(over)
    assert Objection.FULL in objections(over, begins=False)
    assert Objection.FULL not in objections(tape(KEPT))


def test_a_tape_is_an_operators_decision_only_if_it_is_known_and_named() -> None:
    """A stranger's tape that happens to have the label that was named is no tape of ours."""
    found = tape(KEPT)
    assert objections(found) == [Objection.NOT_ACCEPTED]
    assert objections(found, named_label="TP20241015") == []
    assert objections(found, named_label="TP20241016") == [Objection.NOT_ACCEPTED]
    assert objections(replace(found, known=None), named_label="TP20241015") == [Objection.NOT_ACCEPTED]


def test_an_appending_run_has_no_objection_and_the_permits_reasons() -> None:
    """The verdict says what the permit decided, also where it only appends."""
    today = replace(KEPT, id="today", started_at=NOW, period="2026-11")
    found = verdict.judge(Question(facts(tape(today, label="TP20261101")), begins=True))
    assert (found.answer, found.objections, found.sets_lost) == (Answer.APPEND, (), ())
    assert found.decision is not None
    assert Denial.PERIOD_DATA in found.decision.denials
    assert found.reasons == found.decision.reasons


def test_a_tape_that_reads_as_empty_contradicts_a_kept_set_on_it() -> None:
    """Unless it was never sealed, is over, or an operator has named the tape."""
    empty = tape(KEPT, empty=True)
    denied = Denial.CONTRADICTION
    assert denied in decide(facts(empty)).denials
    assert denied in decide(facts(replace(tape(KEPT), state="blank", empty=None))).denials
    assert denied not in decide(facts(empty, named_label="TP20241015")).denials
    assert denied not in decide(facts(tape(OVER, empty=True))).denials
    assert denied not in decide(facts(tape(replace(KEPT, is_sealed=False), empty=True))).denials
    assert denied not in decide(facts(tape(replace(KEPT, state=SetState.DESTROYED), empty=True))).denials


def test_a_set_without_an_archive_leaves_a_blank_tape_blank() -> None:
    """On a volume it is this run's all the same, and is gone on with."""
    begun = replace(KEPT, id="begun", run_id=12, started_at=NOW, is_sealed=False)
    assert decide(facts(tape(begun, state="blank", empty=None))).allowed
    on_a_volume = decide(facts(tape(begun, label="TP20261101")))
    assert (Denial.OWN_SET in on_a_volume.denials, on_a_volume.append) == (True, True)
    assert not decide(facts(tape(replace(begun, state=SetState.DESTROYED)))).append


def test_a_run_goes_on_on_the_tape_of_its_own_set_and_no_other_run_does() -> None:
    """Whatever its label: the month may have ended since. A question beforehand has no set of its own."""
    own = replace(KEPT, run_id=12, started_at=NOW)
    found = tape(own)
    assert decide(facts(found)).append
    assert decide(facts(found, run_id=13)).denials[-1] is Denial.NOT_APPENDED_TO
    asked = decide(facts(tape(replace(own, run_id=None)), run_id=None))
    assert (Denial.OWN_SET in asked.denials, asked.append) == (False, False)


def test_what_nothing_is_appended_to_says_what_it_would_be() -> None:
    """A labelled tape: a blank one has nothing to append to."""
    today = replace(KEPT, id="today", started_at=NOW)
    refused = decide(facts(tape(today), run_id=13)).reasons[-1]
    assert str(refused).endswith("is appended to a tape labelled TP202611xx.")


@pytest.mark.parametrize(
    ("policy", "begins", "expected"),
    [
        ("pool:offsite", True, "a tape of pool 'offsite'"),
        ("pool:offsite", False, "a tape of pool 'offsite'"),
        ("current_month", True, "a blank tape, or one labelled TP202611xx"),
        ("current_month", False, "a tape labelled TP202611xx"),
        ("rotate", True, "a blank tape, one labelled TP202611xx, or an expired one"),
        ("rotate", False, "a tape labelled TP202611xx"),
    ],
)
def test_what_an_operator_is_asked_for(policy: str, begins: bool, expected: str) -> None:
    """By the policy, and by whether a format may come first."""
    assert str(TapePolicy.parse(policy).expects(NOW, begins=begins)) == expected


def test_a_set_is_kept_for_its_days() -> None:
    """From its end; without a number of days, for ever."""
    assert retention.until(NOW, 30) == NOW + timedelta(days=30)
    assert retention.until(NOW, None) is None


def test_a_set_is_one_of_the_newest_until_enough_are_newer() -> None:
    """Of nothing that is newer it is the newest itself."""
    assert not retention.is_past(LONG_AGO, NOW, keep_sets=1)
    assert retention.is_past(LONG_AGO, NOW, keep_sets=1, newer=1)


def test_what_may_be_appended_to() -> None:
    """A writable volume of this month, of the schedule's own pool: each alone forbids it."""
    good = tape(label="TP20261101")
    assert good.known
    pooled = replace(good, known=replace(good.known, pool="offsite"))
    bad = [
        replace(good, state="blank"),
        replace(good, state="unreadable"),
        replace(good, write_protected=True),
        replace(good, lock="advisory"),
        replace(good, label="TP20251101"),
        pooled,
        marked(good, CartridgeState.FULL),
    ]
    assert [THIS_MONTH.may_append(each, NOW) for each in (good, *bad)] == [True] + [False] * len(bad)
    assert TapePolicy.parse("pool:offsite").may_append(replace(pooled, label="OTHER"), NOW)
    assert not TapePolicy.parse("pool:offsite").may_append(good, NOW)
    assert not TapePolicy.parse("pool:offsite").may_append(replace(pooled, write_protected=True), NOW)


def test_a_policy_is_read_or_refused_by_name() -> None:
    """A pool's name may be anything."""
    assert TapePolicy.parse("pool:a:b").pool == "a:b"
    for text in ("pool:", "poolx", "rotate:x", ""):
        with pytest.raises(UsageError, match=f"tape_policy: '{text}' is not a tape policy"):
            TapePolicy.parse(text)


def test_a_tape_without_a_label_is_called_by_its_state() -> None:
    """In words."""
    assert str(Message.from_json(tape(label="", state="blank").describe())) == "a blank tape"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("empty", "begins", "run_id", "doubted"),
    [
        (False, True, None, True),
        (False, False, None, True),
        (None, True, None, True),
        (True, False, None, True),
        (True, True, None, False),
        (False, True, 12, False),
    ],
)
def test_what_could_not_be_mounted_is_told_beforehand(
    empty: bool | None, begins: bool, run_id: int | None, doubted: bool
) -> None:
    """A run tries it again; an empty volume is formatted without a mount."""
    month = tape(label="TP20261101", empty=empty)
    found = replace(month, mount_failed=M("no index"))
    question = Question(facts(found, run_id=run_id), begins=begins)
    told = dict(verdict.at_first(question))
    assert list(told) == ([Objection.NOT_MOUNTABLE] if doubted else [])
    if doubted:
        assert "no index" in str(told[Objection.NOT_MOUNTABLE])
    assert media.not_mountable(month, begins=begins) is None


@pytest.mark.parametrize(("begins", "wanted"), [(True, "a blank tape, one"), (False, "a tape labelled")])
def test_a_tape_that_is_not_accepted_is_answered_with_one_that_is(begins: bool, wanted: str) -> None:
    """By what the run could begin on."""
    told = dict(verdict.at_first(Question(facts(tape(KEPT)), begins=begins)))
    assert str(told[Objection.NOT_ACCEPTED]).startswith(f"It takes {wanted}")


def test_what_is_no_volume_is_the_first_objection() -> None:
    """Before the month that it is not of."""
    assert objections(tape(state="cleaning"))[0] is Objection.NO_VOLUME


KINDS = [
    ({}, "kept for ever"),
    ({"retention_until": NOW + timedelta(days=7)}, "kept until 2026-11-30"),
    ({"retention_until": NOW.replace(hour=23) + timedelta(days=7)}, "kept until 2026-12-01"),
    ({"keep_sets": 2, "newer": 1, "retention_until": LONG_AGO}, "one of the newest 2 of its kind"),
    ({"keep_sets": 2, "newer": 2}, None),
    ({"keep_sets": 2, "newer": 2, "retention_until": NOW + timedelta(days=7)}, "kept until 2026-11-30"),
    ({"template_id": None}, "of no known template"),
    ({"is_imported": True}, "kept for ever"),
    ({"is_imported": True, "retention_until": NOW + timedelta(days=7)}, "kept until 2026-11-30"),
    ({"is_imported": True, "run_id": None, "retention_until": LONG_AGO}, "was imported"),
    ({"is_imported": True, "keep_sets": 2, "newer": 1}, "one of the newest 2 of its kind"),
    ({"is_imported": True, "keep_sets": 2, "newer": 2}, "before the database was restored"),
    ({"retention_until": LONG_AGO, "followed_by": (replace(KEPT, id="inc"),)}, "needed by set inc"),
    ({"followed_by": (replace(KEPT, id="inc"),)}, "kept for ever"),
]


@pytest.mark.parametrize(("changes", "why"), KINDS)
def test_why_a_set_is_kept(changes: dict[str, object], why: str | None) -> None:
    """The one reason that an operator can do something about, on the clock of the schedule."""
    in_berlin = NOW.astimezone(ZoneInfo("Europe/Berlin"))
    stored = replace(KEPT, **changes)  # type: ignore[arg-type]
    found = decide(facts(tape(stored), now_local=in_berlin))
    if why is None:
        assert found.allowed
    else:
        assert [why in str(reason) for reason in found.reasons] == [True], found.reasons


def test_a_set_is_needed_across_one_that_is_gone() -> None:
    """What follows a destroyed increment may still be wanted, and not for ever."""
    last = replace(KEPT, id="last", retention_until=NOW + timedelta(days=1))
    gone = replace(KEPT, id="gone", state=SetState.DESTROYED, followed_by=(last,))
    full = replace(OVER, followed_by=(gone,))
    assert full.needed_by(NOW) is last
    assert full.needed_by(NOW + timedelta(days=2)) is None


def test_an_empty_tape_of_ours_may_be_formatted_though_the_label_is_old() -> None:
    """Its sets are over; one that never had any needs a label that the schedule accepts."""
    assert decide(facts(tape(OVER, empty=True), THIS_MONTH)).allowed
    assert decide(facts(tape(empty=True), THIS_MONTH)).denials == (Denial.FOREIGN_DATA,)
    assert decide(facts(tape(label="TP20261101", empty=True), THIS_MONTH)).allowed


def test_why_a_tape_may_be_formatted() -> None:
    """As the run's story will have it."""
    blank = TapeFacts("blank", None, None, False, (), None)
    told = {
        "drive affirms": blank,
        "nothing on it is needed": replace(blank, state="foreign", erasable=True),
        "Every set on tape TP20241015 may be lost: 1 sets": tape(OVER),
        "holds no file": tape(label="TP20261101", empty=True),
    }
    for why, found in told.items():
        assert why in str(decide(facts(found)).reasons[0])


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("inconsistent", "has to be checked first"),
        ("cleaning", "cleaning cartridge"),
        ("incompatible", "does not fit the drive"),
        ("foreign", "LTFS cannot read"),
    ],
)
def test_what_is_no_volume_says_what_it_is(state: str, why: str) -> None:
    """And is denied for that."""
    found = TapeFacts(state, None, None, False, (), None, drive="tape0")
    assert why in str(media.no_volume(found))
    assert [why in str(reason) for reason in decide(facts(found)).reasons] == [True]


@pytest.fixture
def in_shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host whose own clock is not UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Shanghai")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_shanghai")
def test_an_occurrence_has_one_name_on_every_host() -> None:
    """In UTC, whatever the host's own time zone is."""
    assert period.key(period.ScheduleType.CRON, NOW, "Europe/Berlin") == "2026-11-23T20:00:00Z"


def test_an_empty_tape_of_another_label_is_told_what_would_do() -> None:
    """Before a format: also a blank one."""
    stranger = replace(tape(label="OTHER", empty=True), known=None)
    [reason] = decide(facts(stranger, THIS_MONTH)).reasons
    assert "it takes a blank tape, or one labelled TP202611xx." in str(reason)
