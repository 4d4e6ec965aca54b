"""Which cartridge of a library a run fetches: the best first, each at most once for its need."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from policy.tapes import media
from policy.tapes.facts import TapeFacts
from policy.tapes.verdict import Answer, Question, Verdict, judge

_WORM = re.compile(r"L[T-Z]$")
"""The media code of a cartridge that is written once: ``LT`` to ``LZ``."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A cartridge in a slot, and what is known of it before it is in a drive."""

    barcode: str
    slot: int
    facts: TapeFacts


@dataclass(frozen=True, slots=True)
class Offer:
    """A cartridge that the run could use, if the tape is as it is known."""

    stored: Stored
    verdict: Verdict | None
    """None: the run only reads."""


def best_first(
    asked: Iterable[tuple[Stored, Question]], tried: Collection[str], doubtful: Collection[str] = ()
) -> list[Offer]:
    """The cartridges that a run could use, by the verdict of each, the best first.

    The tape that the run's set continues on; this month's tape, which is appended to; an empty one that an
    operator has labelled; a blank one; one whose sets are all past retention. ``tried``: barcodes that were
    fetched for this need already. ``doubtful``: barcodes that several cartridges have.
    """
    ranked = [
        (_rank(question, verdict), stored.slot, Offer(stored, verdict))
        for stored, question in asked
        if stored.barcode not in tried and stored.barcode not in doubtful
        for verdict in [judge(question)]
        if verdict.answer is not Answer.REFUSE and not _will_fail(stored, question, verdict)
    ]
    return [offer for _, _, offer in sorted(ranked, key=lambda each: each[:2])]


def in_order(wanted: Iterable[Stored], tried: Collection[str], doubtful: Collection[str] = ()) -> list[Offer]:
    """The cartridges that a run reads, in the order of its plan."""
    return [
        Offer(stored, None)
        for stored in wanted
        if stored.barcode not in tried and stored.barcode not in doubtful
    ]


def _rank(question: Question, verdict: Verdict) -> int:
    if question.begun_here:
        return 0
    if verdict.answer is Answer.APPEND:
        return 1
    if verdict.sets_lost:
        return 4
    return 3 if question.facts.tape.is_blank else 2


def _will_fail(stored: Stored, question: Question, verdict: Verdict) -> bool:
    """What is known to fail is not fetched: a volume that did not mount, a format of a cartridge that is
    written once."""
    if verdict.answer is Answer.FORMAT and _WORM.search(stored.barcode):
        return True
    return media.not_mountable(stored.facts, begins=question.begins) is not None
