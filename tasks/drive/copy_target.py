"""What a copy of a set requires of the tape that it writes, besides what every writer requires."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.models import ChainRun
from db.states import WRITING, Kind
from db.tapes import copies
from policy import units
from policy.message import M, Message
from policy.tapes.facts import TapeFacts
from policy.tapes.medium import MediumReport

LARGEST_RESERVE = 64 << 20
"""Bytes; space for what a file system needs beside its files."""


@dataclass(frozen=True, slots=True)
class CopyObjection:
    """Why a copy is not written to a tape."""

    reason: Message

    def told(self, expected: Message) -> Message:
        """With what to insert instead."""
        return M("{reason} Insert {expected}.", reason=self.reason.to_json(), expected=expected.to_json())


def only_reads(run: ChainRun) -> bool:
    """Whether a run reads the tape that it needs now: a copy does, until it has the set in its spool."""
    return run.kind not in WRITING or (run.kind is Kind.COPY and run.notes.spooled is None)


def objection(session: Session, run: ChainRun, tape: TapeFacts, medium: MediumReport) -> CopyObjection | None:
    """Why the copy of a run is not written to a tape: it has the set, or no room for all of it."""
    if run.kind is not Kind.COPY or run.notes.spooled is None:
        return None
    if tape.known is not None and tape.known.id in copies.tapes_of(session, run.set_id or ""):
        return CopyObjection(
            M("Set {set} is read, and its copy goes on another tape than {tape}, which has the set.",
              set=run.set_id, tape=tape.describe())
        )  # fmt: skip
    room = medium.get("free") if tape.state == "formatted" else medium.get("capacity")
    needed = run.notes.spooled + min(
        LARGEST_RESERVE, (medium.get("capacity") or LARGEST_RESERVE * 100) // 100
    )
    if room is None or needed <= room:
        return None
    return CopyObjection(
        M(
            "A copy of set {set} needs {needed} on one tape; {tape} in drive {drive} has {room}.",
            set=run.set_id,
            needed=units.size(needed),
            tape=tape.describe(),
            drive=run.drive,
            room=units.size(room),
        )
    )
