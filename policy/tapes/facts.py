"""What the rules know of a tape: the facts from which permit and precheck decide."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from policy.errors import UsageError
from policy.message import M, Message
from policy.tapes import label, retention


class CartridgeState(StrEnum):
    """What may be done with a cartridge."""

    ACTIVE = "active"
    """Known and sound."""
    FULL = "full"
    """Sound, but nothing more fits on this generation."""
    UNKNOWN = "unknown"
    """A format was cut off: an operator has to inspect it and decide."""
    RETIRED = "retired"
    """Taken out of use for ever."""
    ERROR = "error"
    """A write error happened: nothing may write to it again."""


class SetState(StrEnum):
    """The state of a backup set."""

    WRITING = "writing"
    """A run is writing it, or was cut off and can continue."""
    COMPLETE = "complete"
    """All planned data is on tape, sealed and catalogued."""
    INCOMPLETE = "incomplete"
    """Its run ended before the end; sealed data can still be restored."""
    DESTROYED = "destroyed"
    """The cartridge was formatted afterwards."""


@dataclass(frozen=True, slots=True)
class SetFacts:
    """A backup set on the present generation of a cartridge."""

    id: str
    template_id: int | None
    run_id: int | None
    type: str
    state: SetState
    period: str | None
    started_at: datetime
    retention_until: datetime | None
    keep_sets: int | None = None
    """It is kept while fewer sets than this are newer."""
    newer: int = 0
    """Complete sets of the same template and type that were begun later and are not known to be damaged,
    counted up to ``keep_sets``."""
    expired: bool = False
    """An operator marked it as no longer needed."""
    followed_by: tuple[SetFacts, ...] = field(default=(), repr=False)
    """The sets with the changes since this one, on any cartridge and in any state; and increments of which
    nobody knows what they follow, if it may be this one. ``policy.tapes.kin`` combines them."""
    is_imported: bool = False
    """The catalogue knows it only from a tape, or from before the database was restored: sets that follow it
    may be on a tape that was not imported."""
    is_newest_full: bool = False
    """No good full set of its template is newer."""
    is_sealed: bool = True
    """The catalogue has an archive of it; a set without one may leave a tape without a single file."""

    past_from: datetime = field(init=False, repr=False, compare=False)
    """The moment at which its own time is over."""
    needed_until: datetime = field(init=False, repr=False, compare=False)
    """Until when a set that must not be lost could not be restored without it."""

    def __post_init__(self) -> None:
        # One moment for each set, computed from its followers: no chain is walked, however long it is.
        needed = max((each.kept_until for each in self.followed_by), default=retention.ALWAYS)
        object.__setattr__(self, "past_from", self._past_from())
        object.__setattr__(self, "needed_until", needed)

    def _past_from(self) -> datetime:
        """Never, if a fact is missing, until a person has marked the set."""
        if self.expired:
            return retention.ALWAYS
        if self.template_id is None or self.is_imported:
            return retention.NEVER
        return retention.past_from(self.retention_until, keep_sets=self.keep_sets, newer=self.newer)

    @property
    def kept_until(self) -> datetime:
        """Until when it or a set that follows it is kept. Sets in between may be destroyed, or be on a tape
        that nobody has imported."""
        if self.state is SetState.DESTROYED:
            return self.needed_until
        return max(self.past_from, self.needed_until)

    @property
    def kept_at_least(self) -> datetime:
        """Until when it is certain to be kept, however many sets are newer."""
        if self.state is SetState.DESTROYED or self.expired:
            return retention.ALWAYS
        if self.template_id is None or self.is_imported:
            return retention.NEVER
        return retention.past_from(
            self.retention_until, keep_sets=self.keep_sets, newer=self.keep_sets or self.newer
        )

    def may_be_lost(self, now: datetime) -> bool:
        """Whether nobody needs it any more: destroyed already; or past retention, like all sets that follow
        it."""
        return self.state is SetState.DESTROYED or self.kept_until <= now

    def may_be_erased(self, now: datetime) -> bool:
        """As the permit sees it: the newest good full set of a template is never lost."""
        return self.may_be_lost(now) and not self.is_newest_full

    def is_past(self, now: datetime) -> bool:
        """Whether its own time is over."""
        return self.past_from <= now

    def needed_by(self, now: datetime) -> SetFacts | None:
        """A set that could not be restored without this one, and must not be lost."""
        follower = self
        while follower.needed_until > now:
            follower = next(each for each in follower.followed_by if each.kept_until > now)
            if follower.state is not SetState.DESTROYED:
                return follower
        return None


@dataclass(frozen=True, slots=True)
class CartridgeFacts:
    """A cartridge that the database knows."""

    id: int
    tape_id: str
    label: str | None
    state: CartridgeState
    pool: str | None
    volume_uuid: str | None
    sets: tuple[SetFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class TapeFacts:
    """The tape in the drive, and the row of the database that it was recognised as."""

    state: str
    label: str | None
    empty: bool | None
    write_protected: bool
    identity: tuple[tuple[str, str | None], ...]
    known: CartridgeFacts | None
    lock: str = "none"
    """Why it cannot be written although its switch permits it: ``advisory`` or ``write_error``."""
    drive: str | None = None
    """Where it is, if its contents do not identify the tape."""
    erasable: bool = False
    """Somebody at the drive has confirmed, for a tape that LTFS cannot read, that nothing on it is needed."""
    mount_failed: Message | None = None
    """Why the last attempt to mount its volume failed."""

    @property
    def is_blank(self) -> bool:
        """Whether nothing on it could be lost: it is proved to be new, or somebody has confirmed that."""
        return self.state == "blank" or (self.state == "foreign" and self.erasable)

    @property
    def is_writable(self) -> bool:
        """Whether neither its switch nor a lock forbids writing."""
        return not self.write_protected and self.lock == "none"

    def describe(self) -> str | dict[str, Any]:
        """What is in the drive, as a value of a message: its label, or its state in words."""
        return described(self.state, self.label)


STATES = {
    "blank": M("a blank tape"),
    "no_medium": M("no tape"),
    "unreadable": M("a tape that cannot be read"),
    "foreign": M("a tape that LTFS cannot read"),
    "inconsistent": M("a volume that has to be checked"),
    "cleaning": M("a cleaning cartridge"),
    "incompatible": M("a cartridge that does not fit the drive"),
}
"""The name for the contents of a drive without a label."""


def described(state: str, label: str | None) -> str | dict[str, Any]:
    """What is in a drive, as a value of a message: its label, or its state in words."""
    return label or STATES.get(state, M("a tape without a label")).to_json()


class PolicyKind(StrEnum):
    """Which tapes a schedule accepts."""

    CURRENT_MONTH = "current_month"
    """A label of this month in the schedule's time zone, or a blank tape; none that is in a pool."""
    ROTATE = "rotate"
    """As current_month, and a known cartridge all of whose sets are past retention."""
    POOL = "pool"
    """A known cartridge of the named pool."""


@dataclass(frozen=True, slots=True)
class TapePolicy:
    """A parsed ``tape_policy``: ``current_month``, ``rotate`` or ``pool:<name>``."""

    kind: PolicyKind
    pool: str | None = None

    @classmethod
    def parse(cls, text: str) -> TapePolicy:
        """Raises UsageError that lists the policies."""
        kind, _, pool = text.partition(":")
        if kind == PolicyKind.POOL and pool:
            return cls(PolicyKind.POOL, pool)
        if text in {PolicyKind.CURRENT_MONTH, PolicyKind.ROTATE}:
            return cls(PolicyKind(text))
        raise UsageError(
            M("tape_policy: '{text}' is not a tape policy.", text=text),
            M("Use current_month, rotate or pool:<name>."),
        )

    def accepts(self, tape: TapeFacts, now_local: datetime) -> bool:
        """Whether a run of this policy may continue with this tape; does not permit a format.

        ``now_local``: now, in the schedule's time zone.
        """
        if not self._may_have(tape) or not (tape.is_blank or tape.state == "formatted"):
            return False
        match self.kind:
            case PolicyKind.POOL:
                return True
            case PolicyKind.CURRENT_MONTH:
                return tape.is_blank or _is_this_months(tape, now_local)
            case PolicyKind.ROTATE:
                return tape.is_blank or _is_this_months(tape, now_local) or _is_free(tape, now_local)

    def may_append(self, tape: TapeFacts, now_local: datetime) -> bool:
        """Whether a backup may be added to this volume as it is, without a format."""
        if tape.state != "formatted" or not tape.is_writable or not self._may_have(tape):
            return False
        if tape.known and tape.known.state is CartridgeState.FULL:
            return False
        return self.kind is PolicyKind.POOL or _is_this_months(tape, now_local)

    def expects(self, now_local: datetime, *, begins: bool) -> Message:
        """What the operator should insert; ``begins``: a format may come first."""
        month = f"TP{now_local:%Y%m}xx"
        match self.kind:
            case PolicyKind.POOL:
                return M("a tape of pool '{pool}'", pool=self.pool)
            case _ if not begins:
                return M("a tape labelled {month}", month=month)
            case PolicyKind.CURRENT_MONTH:
                return M("a blank tape, or one labelled {month}", month=month)
            case PolicyKind.ROTATE:
                return M("a blank tape, one labelled {month}, or an expired one", month=month)

    def _may_have(self, tape: TapeFacts) -> bool:
        """A tape that an operator has put into a pool is only for the schedules of this pool; a blank tape
        belongs to none until the operator registers it."""
        return (tape.known.pool if tape.known else None) == self.pool


def _is_this_months(tape: TapeFacts, now_local: datetime) -> bool:
    monthly = label.parse(tape.label)
    return monthly is not None and monthly.is_of(now_local)


def _is_free(tape: TapeFacts, now: datetime) -> bool:
    return tape.known is not None and all(s.may_be_lost(now) for s in tape.known.sets)
