"""The format permit: may this run format the cartridge in this drive now?

Deny unless every condition is met. A pure function from facts; its answer is stored with the reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from policy.message import M, Message
from policy.tapes import media, retention
from policy.tapes.facts import (
    CartridgeState,
    SetFacts,
    SetState,
    TapeFacts,
    TapePolicy,
)


class Denial(StrEnum):
    """Why a permit is denied, or why a tape that may not be formatted is not appended to either."""

    CLOCK = "clock"
    FROZEN = "frozen"
    IDENTITY_CHANGED = "identity_changed"
    NO_MEDIUM = "no_medium"
    UNREADABLE = "unreadable"
    FOREIGN_DATA = "foreign_data"
    UNKNOWN_SETS = "unknown_sets"
    STRANGERS = "strangers"
    NOT_LOOKED_INTO = "not_looked_into"
    RETAINED_SETS = "retained_sets"
    CONTRADICTION = "contradiction"
    PERIOD_DATA = "period_data"
    OWN_SET = "own_set"
    NEWEST_FULL = "newest_full"
    WRITE_PROTECTED = "write_protected"
    BAD_STATE = "bad_state"
    ALREADY_USED = "already_used"
    FULL = "full"
    NOT_APPENDED_TO = "not_appended_to"


_TO_APPEND = frozenset({Denial.PERIOD_DATA, Denial.OWN_SET})
_OF_DATA = frozenset({Denial.PERIOD_DATA, Denial.OWN_SET, Denial.RETAINED_SETS, Denial.NEWEST_FULL})
APPENDING = _OF_DATA | {Denial.CLOCK, Denial.FROZEN}
"""With one of PERIOD_DATA or OWN_SET, and nothing outside this set, the run appends to the tape."""

_FOLLOWING = _OF_DATA | {Denial.NOT_APPENDED_TO}
"""Denials that another denial causes."""


@dataclass(frozen=True, slots=True)
class FormatFacts:
    """All facts for the decision."""

    tape: TapeFacts
    seen_by_precheck: tuple[tuple[str, str | None], ...] | None
    policy: TapePolicy
    now_local: datetime
    run_id: int | None
    """None: there is no run; the question is asked in advance."""
    period: str | None
    named_label: str | None = None
    """The old label, if an operator named it and so allowed its sets to be lost."""
    named_sets: frozenset[str] | None = None
    """The sets on it when the operator named it: no others are lost; None: the operator names it just now."""
    permit_used: bool = False
    """A permit of this part of the run was consumed before."""
    unknown_sets: tuple[str, ...] = ()
    """The sets on the volume itself that the catalogue does not have."""
    strangers: tuple[str, ...] = ()
    """Files on the volume itself besides sets of ours."""
    is_unseen: bool = False
    """The volume has files, and whoever wants to format it now has not mounted it to see which."""
    clock_doubt: Message | None = None
    """Why the clock may be wrong now (``policy.times.clock.leap``)."""
    frozen: Message | None = None
    """Why no tape may be formatted at all, until a person lifts that."""

    @property
    def is_named(self) -> bool:
        """Whether it is the tape whose sets an operator has allowed to be lost."""
        return self.named_label is not None and self.named_label == self.tape.label

    def is_given_up(self, stored: SetFacts) -> bool:
        """Whether an operator has allowed this set to be lost."""
        return self.is_named and (self.named_sets is None or stored.id in self.named_sets)


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, with its reasons and the sets that the format would destroy."""

    allowed: bool
    denials: tuple[Denial, ...]
    reasons: tuple[Message, ...]
    sets_lost: tuple[str, ...]

    @property
    def append(self) -> bool:
        """Denied because this month's or this run's data is on the tape: the run continues and appends."""
        return appends(self.denials)

    @property
    def why_appended(self) -> Message:
        """The reason why the run appends; each such reason implies that the sets on the tape are kept."""
        named = zip(self.denials, self.reasons, strict=False)
        return next(reason for denial, reason in named if denial in _TO_APPEND)

    @property
    def main_reason(self) -> Message:
        """The most important reason: one that appending does not avoid, if there is one."""
        named = zip(self.denials, self.reasons, strict=False)
        return next((reason for denial, reason in named if denial not in _FOLLOWING), self.reasons[0])


def appends(denials: Iterable[str]) -> bool:
    """Whether a run that was denied a format for these reasons appends to the tape: it needs no format
    then."""
    denied = set(denials)
    return bool(denied & _TO_APPEND) and denied <= APPENDING


def decide(facts: FormatFacts) -> Decision:
    """Decide on the permit; every denial that applies is named, in the order of the checks."""
    denials = tuple(_denials(facts))
    if any(denial in _TO_APPEND for denial, _ in denials):
        denials += tuple(_not_to_append(facts))
    if facts.is_unseen and not denials:
        unseen = M("Nobody has looked at what is on tape {tape}.", tape=facts.tape.describe())
        denials = ((Denial.NOT_LOOKED_INTO, unseen),)
    lost = tuple(s.id for s in facts.tape.known.sets) if facts.tape.known else ()
    reasons = tuple(reason for _, reason in denials) or (_why_allowed(facts),)
    return Decision(not denials, tuple(denial for denial, _ in denials), reasons, lost)


def _not_to_append(facts: FormatFacts) -> Iterator[tuple[Denial, Message]]:
    """A tape that is denied because of its data is not appended to either if it is full, or if neither the
    schedule nor the run's own set continues on it."""
    tape, known = facts.tape, facts.tape.known
    if known and known.state is CartridgeState.FULL:
        yield Denial.FULL, M("Tape {tape} is full.", tape=tape.describe())
    elif not (facts.policy.may_append(tape, facts.now_local) or _goes_on(facts)):
        expected = facts.policy.expects(facts.now_local, begins=False)
        yield (
            Denial.NOT_APPENDED_TO,
            M(
                "Nothing is appended to it: a backup of this schedule is appended to {expected}.",
                expected=expected.to_json(),
            ),
        )


def _goes_on(facts: FormatFacts) -> bool:
    """Whether the set of this run was begun on this very volume."""
    return facts.tape.state == "formatted" and any(_own_sets(facts))


def _own_sets(facts: FormatFacts) -> Iterator[SetFacts]:
    """The sets on the tape that this very run has written."""
    for stored in _there(facts):
        if facts.run_id is not None and stored.run_id == facts.run_id:
            yield stored


def _there(facts: FormatFacts) -> Iterator[SetFacts]:
    """The sets on the tape according to the catalogue; a set without an archive leaves a tape blank."""
    is_blank = facts.tape.state == "blank"
    for stored in facts.tape.known.sets if facts.tape.known else ():
        if stored.state is not SetState.DESTROYED and (stored.is_sealed or not is_blank):
            yield stored


def _why_allowed(facts: FormatFacts) -> Message:
    if facts.tape.state == "blank":
        return M("The drive affirms that the tape is blank.")
    if facts.tape.is_blank:
        return M(
            "LTFS cannot read the tape, and somebody at the drive has said that nothing on it is needed."
        )
    if facts.tape.known and facts.tape.known.sets:
        return M(
            "Every set on tape {tape} may be lost: {count} sets.",
            tape=facts.tape.describe(),
            count=len(facts.tape.known.sets),
        )
    return M("Tape {tape} holds no file and its label is accepted.", tape=facts.tape.describe())


def _denials(facts: FormatFacts) -> Iterator[tuple[Denial, Message]]:
    if facts.clock_doubt is not None:
        yield Denial.CLOCK, facts.clock_doubt
    if facts.frozen is not None:
        yield Denial.FROZEN, facts.frozen
    if facts.permit_used:
        yield (
            Denial.ALREADY_USED,
            M("The format permit of this part of the run was used: it formats once. Start a new run."),
        )
    if facts.tape.identity != facts.seen_by_precheck:
        yield (
            Denial.IDENTITY_CHANGED,
            M("The tape in the drive ({tape}) is not the one that precheck saw.", tape=facts.tape.describe()),
        )
    yield from _medium(facts)
    yield from _content(facts)
    yield from condition(facts.tape)


def _medium(facts: FormatFacts) -> Iterator[tuple[Denial, Message]]:
    tape = facts.tape
    if tape.state == "no_medium":
        yield Denial.NO_MEDIUM, M("There is no tape in the drive.")
    elif tape.state == "foreign":
        yield from _foreign(facts)
    elif tape.state not in {"blank", "formatted"}:
        unreadable = M("The tape cannot be read; an unreadable tape is never taken for a blank one.")
        yield Denial.UNREADABLE, media.no_volume(tape) or unreadable
    elif _affirms_to_be_empty(tape):
        yield from _contradictions(facts)
        if tape.state == "formatted" and not _is_free_to_format(facts):
            yield _not_ours(facts)
    elif tape.known is None or not tape.known.sets:
        yield _unknown_files(tape)
    else:
        for kept in _kept_sets(facts):
            yield Denial.RETAINED_SETS, kept
    yield from _shown(facts)


def _foreign(facts: FormatFacts) -> Iterator[tuple[Denial, Message]]:
    """A confirmation by somebody at the drive is required, and it erases nothing that the catalogue keeps."""
    reason = media.no_volume(facts.tape)
    if reason:
        yield Denial.FOREIGN_DATA, reason
    kept = tuple(_kept_sets(facts))
    if kept:
        yield (
            Denial.UNREADABLE,
            M("The catalogue has sets on this cartridge that are kept, and LTFS cannot read it: look at it."),
        )
    for reason in kept:
        yield Denial.RETAINED_SETS, reason


def _shown(facts: FormatFacts) -> Iterator[tuple[Denial, Message]]:
    """Data on the volume itself that the catalogue does not have. Naming the label does not lift this: the
    operator did not know of that data."""
    if facts.unknown_sets:
        yield (
            Denial.UNKNOWN_SETS,
            M(
                "Tape {tape} holds sets that the catalogue does not know: {sets}."
                " Enter them: tapeline tape import",
                tape=facts.tape.describe(),
                sets=", ".join(facts.unknown_sets),
            ),
        )
    if facts.strangers:
        yield (
            Denial.STRANGERS,
            M(
                "Tape {tape} holds files that Tapeline has not written: {names}. Copy what is needed of them"
                " and delete them from the tape, or use another one.",
                tape=facts.tape.describe(),
                names=", ".join(facts.strangers),
            ),
        )


def _affirms_to_be_empty(tape: TapeFacts) -> bool:
    return tape.state == "blank" or tape.empty is True


def _contradictions(facts: FormatFacts) -> Iterator[tuple[Denial, Message]]:
    """The tape affirms that it is empty, and the catalogue has a kept set on it: one of them is wrong."""
    for stored in _there(facts):
        if stored.is_sealed and _is_kept(facts, stored):
            yield (
                Denial.CONTRADICTION,
                M(
                    "Tape and catalogue contradict each other: the tape ({tape}) reads as empty, and by the"
                    " catalogue set {set} is on it and kept. If it is gone: tapeline sets expire {set}",
                    tape=facts.tape.describe(),
                    set=stored.id,
                ),
            )


def _is_free_to_format(facts: FormatFacts) -> bool:
    """For an empty volume: the schedule accepts it, or its sets are past."""
    known = facts.tape.known
    return facts.policy.accepts(facts.tape, facts.now_local) or bool(known and known.sets)


def _not_ours(facts: FormatFacts) -> tuple[Denial, Message]:
    expected = facts.policy.expects(facts.now_local, begins=True)
    return (
        Denial.FOREIGN_DATA,
        M(
            "Tape {tape} is empty, and its label is none that this schedule takes: it takes {expected}.",
            tape=facts.tape.describe(),
            expected=expected.to_json(),
        ),
    )


def _unknown_files(tape: TapeFacts) -> tuple[Denial, Message]:
    return (
        Denial.FOREIGN_DATA,
        M("Tape {tape} holds files that the catalogue does not know.", tape=tape.describe()),
    )


def _kept_sets(facts: FormatFacts) -> Iterator[Message]:
    if facts.tape.known is None:
        return
    for stored in facts.tape.known.sets:
        if _is_kept(facts, stored):
            yield _kept(stored, facts.now_local)


def _is_kept(facts: FormatFacts, stored: SetFacts) -> bool:
    return not facts.is_given_up(stored) and not stored.may_be_lost(facts.now_local)


def _kept(stored: SetFacts, now: datetime) -> Message:
    follower = stored.needed_by(now) if stored.is_past(now) else None
    if follower:
        return M("Set {set} on it is needed by set {follower}.", set=stored.id, follower=follower.id)
    if stored.template_id is None:
        return M(
            "Set {set} on it is of no known template and so kept, until somebody marks it:"
            " tapeline sets expire {set}",
            set=stored.id,
        )
    if stored.is_imported and retention.is_past(
        stored.retention_until, now, keep_sets=stored.keep_sets, newer=stored.newer
    ):
        return _from_elsewhere(stored)
    if stored.keep_sets is not None and stored.newer < stored.keep_sets:
        return M(
            "Set {set} on it is one of the newest {count} of its kind.", set=stored.id, count=stored.keep_sets
        )
    if stored.retention_until is None:
        return M("Set {set} on it is kept for ever.", set=stored.id)
    until = stored.retention_until.astimezone(now.tzinfo)
    return M("Set {set} on it is kept until {until}.", set=stored.id, until=f"{until:%Y-%m-%d}")


def _from_elsewhere(stored: SetFacts) -> Message:
    if stored.run_id is None:
        return M(
            "Set {set} on it was imported: what follows it may be on a tape that was not. When every tape is"
            " imported: tapeline sets expire",
            set=stored.id,
        )
    return M(
        "Set {set} on it was written before the database was restored: what follows it may be on a tape that"
        " the copy does not know. When every tape is imported: tapeline sets expire",
        set=stored.id,
    )


def _content(facts: FormatFacts) -> Iterator[tuple[Denial, Message]]:
    own = tuple(_own_sets(facts))
    for stored in _there(facts):
        if stored in own:
            yield Denial.OWN_SET, M("Set {set} was written by this run.", set=stored.id)
        if _is_of_this_period(stored, facts):
            yield Denial.PERIOD_DATA, M("Set {set} of this period is on the tape.", set=stored.id)
        if stored.is_newest_full and not facts.is_given_up(stored):
            yield (
                Denial.NEWEST_FULL,
                M("Set {set} is the newest complete full backup there is.", set=stored.id),
            )


def _is_of_this_period(stored: SetFacts, facts: FormatFacts) -> bool:
    written = stored.started_at.astimezone(facts.now_local.tzinfo)
    this_month = (written.year, written.month) == (facts.now_local.year, facts.now_local.month)
    return this_month or (facts.period is not None and stored.period == facts.period)


def condition(tape: TapeFacts) -> Iterator[tuple[Denial, Message]]:
    """Facts that forbid every write to a cartridge: its switch or a lock, and its state."""
    reason = media.read_only(tape)
    if reason:
        yield Denial.WRITE_PROTECTED, reason
    known = tape.known
    if known and known.state not in {CartridgeState.ACTIVE, CartridgeState.FULL}:
        yield (
            Denial.BAD_STATE,
            M("Cartridge {tape_id} is in state '{state}'.", tape_id=known.tape_id, state=known.state.value),
        )
