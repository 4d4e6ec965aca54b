"""Which cartridge of a library a run fetches: by the one verdict, the best first, each once."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.tapes import media
from policy.tapes.candidates import Offer, Stored, best_first, in_order
from policy.tapes.facts import CartridgeFacts, CartridgeState, SetFacts, SetState, TapeFacts, TapePolicy
from policy.tapes.permit import FormatFacts
from policy.tapes.verdict import Answer, Question, judge
from tests.random_tapes import EXPIRED, NOW, OLD, RUN, questions

EXPIRED_SET = SetFacts("S1", 1, 5, "full", SetState.COMPLETE, "2024-10", OLD, EXPIRED)
BLANK = TapeFacts("blank", None, empty=None, write_protected=False, identity=(), known=None)


def asked(
    barcode: str, slot: int, tape: TapeFacts, *, policy: str = "rotate", begun_here: bool | None = None
) -> tuple[Stored, Question]:
    facts = FormatFacts(
        tape=tape,
        seen_by_precheck=tape.identity,
        policy=TapePolicy.parse(policy),
        now_local=NOW,
        run_id=RUN,
        period="2026-11",
    )
    return Stored(barcode, slot, tape), Question(facts, begins=True, begun_here=begun_here)


def formatted(label: str, *sets: SetFacts, empty: bool = False, number: int = 7) -> TapeFacts:
    row = CartridgeFacts(number, label, label, CartridgeState.ACTIVE, None, f"uuid-{label}", sets)
    return TapeFacts("formatted", label, empty=empty, write_protected=False, identity=(), known=row)


def names(offers: list[Offer]) -> list[str]:
    return [offer.stored.barcode for offer in offers]


def test_the_best_comes_first() -> None:
    """The set's own tape, this month's, one labelled by an operator, a blank one, then an expired one. Of two
    blank ones, that of the lower slot."""
    current = replace(EXPIRED_SET, id="S2", period="2026-10", retention_until=None)
    given_ = [
        asked("EXPIRED", 1, formatted("TP20241001", EXPIRED_SET)),
        asked("BLANK2", 3, BLANK),
        asked("BLANK1", 2, BLANK),
        asked("LABELLED", 4, formatted("TP20261102", empty=True)),
        asked("MONTHS", 5, formatted("TP20261101", replace(current, period="2026-11"))),
        asked("BEGUN", 6, formatted("TP20261103", current), begun_here=True),
    ]
    assert names(best_first(given_, ())) == ["BEGUN", "MONTHS", "LABELLED", "BLANK1", "BLANK2", "EXPIRED"]


def test_what_was_tried_or_is_doubtful_does_not_come() -> None:
    """Each cartridge once for a need; a barcode that two cartridges have promises nothing."""
    given_ = [asked(name, slot, BLANK) for slot, name in enumerate(["A", "B", "C"], 1)]
    assert names(best_first(given_, tried=["A"], doubtful=["C"])) == ["B"]
    stored = [each for each, _ in given_]
    assert names(in_order(reversed(stored), tried=["A"], doubtful=["C"])) == ["B"]


def test_a_cartridge_that_is_written_once_is_not_formatted() -> None:
    assert names(best_first([asked("TP0001LW", 1, BLANK), asked("TP0002L9", 2, BLANK)], ())) == ["TP0002L9"]


def test_a_volume_that_did_not_mount_is_not_fetched_to_be_appended_to() -> None:
    """An empty one is: a format replaces it."""
    failed = formatted("TP20261101", replace(EXPIRED_SET, period="2026-11", retention_until=None))
    failed = replace(failed, mount_failed=media.no_volume(replace(BLANK, state="cleaning")))
    assert names(best_first([asked("A", 1, failed)], ())) == []


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(questions(), max_size=3), st.sets(st.sampled_from("01234")))
def test_nothing_is_fetched_that_the_run_would_refuse(found: list[Question], tried: set[str]) -> None:
    """For any facts: each offer is one that the verdict takes, none was tried, and none comes twice."""
    given_ = [(Stored(str(slot), slot, each.facts.tape), each) for slot, each in enumerate(found)]
    offers = best_first(given_, tried)
    assert len(set(names(offers))) == len(offers)
    assert not set(names(offers)) & tried
    for offer in offers:
        verdict = judge(found[offer.stored.slot])
        assert offer.verdict == verdict
        assert verdict.answer is not Answer.REFUSE
    taken = {slot for slot, each in enumerate(found) if judge(each).answer is not Answer.REFUSE}
    left = taken - {offer.stored.slot for offer in offers} - {int(name) for name in tried}
    assert all(found[slot].facts.tape.mount_failed for slot in left)
