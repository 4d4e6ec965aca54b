"""Reports sets that are gone from their tape, although nobody here has formatted it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from backup.format.documents import folder_of
from db import events
from db.models import BackupSet, ChainRun, TapeCartridge, now
from db.runs import announcing
from db.sets import catalog
from db.states import Kind, Step
from db.tapes import cartridges, volumes
from policy.errors import TapelineError
from policy.message import M, Message
from policy.tapes.facts import CartridgeState
from policy.tapes.medium import MediumReport
from tape.drive import Volume


class SetGone(TapelineError):
    """The sets that the run was writing, or was to read, are no longer on its tape."""


def note_volume(session: Session, run: ChainRun, medium: MediumReport, step: Step) -> None:
    """Update the row of the tape in the drive from its volume; sets that are gone with the previous volume
    are reported."""
    known = cartridges.recognise(session, medium)
    if known is not None and known.state is CartridgeState.UNKNOWN and run.kind is not Kind.IMPORT:
        return  # A format of ours has left it so: a person decides, and an import is the way to inspect it.
    cartridge, gone = cartridges.arrived(session, medium)
    if cartridge is not None and gone:
        report(session, run, cartridge.tape_id, gone, step)


def report(session: Session, run: ChainRun, tape_id: str, gone: Sequence[BackupSet], step: Step) -> None:
    """Report which sets are no longer on a tape: in the run's story, and to the channels."""
    reason = M(
        "These sets are not on tape {tape} any more: {sets}. It was formatted or changed elsewhere.",
        tape=tape_id,
        sets=", ".join(sorted(stored.id for stored in gone)),
    )
    events.record(session, run, reason, step=step, level="error")
    announcing.announce(session, run, "sets_lost", reason, _remedy())


def _remedy() -> Message:
    return M("Find out who has changed the tape. The next backup that needs them is a full one.")


Expected = Mapping[str, Mapping[str, int]]
"""For some sets, the names of their archives with bytes."""


@dataclass(frozen=True, slots=True)
class MissingParts:
    """What a volume lacks of what the catalogue expects on it."""

    gone: Collection[str]
    """Missing sets."""
    archives: Mapping[str, int]
    """For other sets, how many archives are missing."""


def missing_on(volume: Volume, expected: Expected, own: str | None) -> MissingParts | None:
    """What a volume lacks of these archives, each with its size; None: it has all.

    ``own``: the set that the run continues to write; without one of its archives it cannot.
    """
    folders = set(volume.names("sets"))
    gone = {each for each in expected if each not in folders}
    archives = {
        each: sum(volume.size(f"{folder_of(each)}/{name}") != size for name, size in names.items())
        for each, names in expected.items()
        if each not in gone
    }
    gone |= {each for each in archives if each == own and archives[each]}
    archives = {each: count for each, count in archives.items() if count and each not in gone}
    return MissingParts(gone, archives) if gone or archives else None


def mark(session: Session, run: ChainRun, cartridge: TapeCartridge, missing: MissingParts) -> None:
    """Missing sets become destroyed, sets that have lost some archives damaged; both are reported."""
    tape_id = cartridge.tape_id
    destroyed = volumes.destroy_missing(session, cartridge, missing.gone, now())
    for set_id, count in missing.archives.items():
        stored = catalog.get(session, set_id)
        stored.damaged = max(stored.damaged or 0, count)
        reason = M(
            "Set {set}: {count} archives are not on tape {tape} any more.",
            set=set_id,
            count=count,
            tape=tape_id,
        )
        events.record(session, run, reason, step=Step.RUN_BACKUP, level="error")
        announcing.announce(session, run, "sets_lost", reason, _remedy())
    if destroyed:
        report(session, run, tape_id, destroyed, Step.RUN_BACKUP)


def set_gone(session: Session, run: ChainRun) -> SetGone | None:
    """The error of a run whose own set is destroyed, or None."""
    stored = session.get(BackupSet, run.set_id) if run.set_id else None
    if stored is None or stored.destroyed_at is None:
        return None
    return SetGone(M("Set {set} is not on its tape any more.", set=stored.id), M("Start a new run."))
