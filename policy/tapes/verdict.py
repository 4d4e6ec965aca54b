"""The verdict on a tape: what a run does with it: format, append or refuse, with the reasons in order.

All code that judges a tape asks here: the steps of a run, the check for a waiting run, the dry run, the
dashboard, the calendar, the reminders. A run asks in three places: its precheck (``at_first``), its format
(``policy.tapes.permit``), its backup (``may_write``); ``judge`` answers for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from policy.message import M, Message
from policy.tapes import media
from policy.tapes.facts import CartridgeState, TapeFacts, TapePolicy
from policy.tapes.permit import (
    Decision,
    FormatFacts,
    condition,
    decide,
)


class Answer(StrEnum):
    """What a run does with a tape."""

    FORMAT = "format"
    APPEND = "append"
    REFUSE = "refuse"


class Objection(StrEnum):
    """A precheck's objections to a tape, in the order of its checks."""

    NO_VOLUME = "no_volume"
    WRITE_PROTECTED = "write_protected"
    BAD_STATE = "bad_state"
    FULL = "full"
    NOT_MOUNTABLE = "not_mountable"
    BEGUN_ELSEWHERE = "begun_elsewhere"
    NOT_ACCEPTED = "not_accepted"


Objections = tuple[tuple[Objection, Message], ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A tape, and what a run intends to do with it."""

    facts: FormatFacts
    begins: bool
    """A format may come first: for a full backup, and for any run that continues on another tape."""
    begun_here: bool | None = None
    """Whether the set of the run continues on this very cartridge; None: it continues nowhere."""
    is_let_pass: bool = False
    """The schedule lets a run continue to its format with a tape whose label cannot be read."""
    appends_first: bool = False
    """A tape that something can be appended to is not formatted, whatever is on it."""

    @property
    def asks_permit(self) -> bool:
        """Whether the run asks for a permit before it writes."""
        if self.appends_first and self.facts.policy.may_append(self.facts.tape, self.facts.now_local):
            return False
        return self.begins and self.begun_here is None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, with the first objections to the tape, and the permit's own decision."""

    answer: Answer
    objections: Objections
    decision: Decision | None
    """None: nobody would request a permit."""

    @property
    def reasons(self) -> tuple[Message, ...]:
        """The reasons for the answer, in the order in which a run finds them; none for a mere append."""
        reasons = [reason for _, reason in self.objections]
        if self.decision is not None and not (reasons and self.decision.allowed):
            reasons += [reason for reason in self.decision.reasons if reason not in reasons]
        return tuple(reasons)

    @property
    def sets_lost(self) -> tuple[str, ...]:
        """The sets that the run would destroy."""
        return self.decision.sets_lost if self.decision and self.answer is Answer.FORMAT else ()


def judge(question: Question) -> Verdict:
    """What a run does with a tape, from its precheck to its first byte."""
    objections = at_first(question)
    decision = decide(question.facts) if question.asks_permit else None
    if objections or (decision is not None and not (decision.allowed or decision.append)):
        return Verdict(Answer.REFUSE, objections, decision)
    formats = decision is not None and decision.allowed
    return Verdict(Answer.FORMAT if formats else Answer.APPEND, (), decision)


def at_first(question: Question) -> Objections:
    """A precheck's objections to a tape; none: the run continues, to the permit if it begins."""
    if question.is_let_pass and question.begins and question.facts.tape.state == "unreadable":
        return ()
    return tuple(_objections(question))


def may_write(tape: TapeFacts, policy: TapePolicy, now_local: datetime, *, is_own: bool | None) -> bool:
    """Whether a backup is written to this volume as it is, without a format.

    ``is_own``: whether it is the volume that the run has formatted or has begun its set on; None: the run has
    none, and appends to the existing data.
    """
    if tape.state != "formatted" or any(condition(tape)):
        return False
    return policy.may_append(tape, now_local) if is_own is None else is_own


def _objections(question: Question) -> Iterator[tuple[Objection, Message]]:
    facts = question.facts
    objections = [*_of_the_medium(facts.tape)]
    if _is_full(question):
        objections.append((Objection.FULL, M("Nothing more fits on it.")))
    # A run tries it; for a question in advance, the result of the last attempt counts.
    doubt = media.not_mountable(facts.tape, begins=question.begins) if facts.run_id is None else None
    if doubt is not None:
        objections.append((Objection.NOT_MOUNTABLE, doubt))
    yield from objections
    if question.begun_here is False:
        yield Objection.BEGUN_ELSEWHERE, M("The set of this run goes on on another tape.")
    # A tape that cannot be written cannot be appended to, with any label: that would be the same objection
    # twice.
    elif question.begun_here is None and not _is_accepted(question) and (question.begins or not objections):
        expected = facts.policy.expects(facts.now_local, begins=question.begins)
        yield Objection.NOT_ACCEPTED, M("It takes {expected}.", expected=expected.to_json())


def _of_the_medium(tape: TapeFacts) -> Iterator[tuple[Objection, Message]]:
    reason = media.no_volume(tape)
    if reason is not None:
        yield Objection.NO_VOLUME, reason
    for denial, why in condition(tape):
        yield Objection(denial.value), why


def _is_full(question: Question) -> bool:
    """The tape is full, and it is not formatted: because no format is intended, or because a set on it is
    kept."""
    facts, known = question.facts, question.facts.tape.known
    if known is None or known.state is not CartridgeState.FULL or facts.is_named:
        return False
    return not question.begins or not all(each.may_be_lost(facts.now_local) for each in known.sets)


def _is_accepted(question: Question) -> bool:
    """An increment begins only on a tape that it can be appended to. Before any other run a format may come,
    and formatting a known tape that an operator has named is the operator's decision."""
    facts = question.facts
    if not question.begins:
        return facts.policy.may_append(facts.tape, facts.now_local)
    is_his = facts.is_named and facts.tape.known is not None
    return is_his or facts.policy.accepts(facts.tape, facts.now_local)
