"""The needs of a restore: which files of which sets, and so which archives on which cartridges."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from db.errors import NotFound
from db.models import BackupArchive, BackupSet, ChainRun, ChainStep, TapeCartridge
from db.sets import catalog, lineage
from db.sets.lineage import Live
from db.sets.places import Places
from db.states import Step, StepState
from policy.message import M
from policy.tapes.facts import SetState


@dataclass(slots=True)
class RestorePlan:
    """Archives in reading order, and totals."""

    places: Places
    archives: list[BackupArchive] = field(default_factory=list)
    files: int = 0
    size: int = 0
    """Bytes of content; a file with several names counts for each."""

    @property
    def cartridges(self) -> list[TapeCartridge]:
        """In the order of reading."""
        return list({tape.id: tape for tape in map(self.places.first, self.archives)}.values())

    @property
    def copies(self) -> list[TapeCartridge]:
        """Those of them that are read because the tape that was written first is out of use or damaged."""
        instead = (archive for archive in self.archives if self.places.first(archive) != archive.cartridge)
        return list({tape.id: tape for tape in map(self.places.first, instead)}.values())

    @property
    def others(self) -> list[TapeCartridge]:
        """Those that may be put in instead of one of them."""
        return self.places.instead_of(self.archives, {tape.id for tape in self.cartridges})

    def to_json(self, set_id: str) -> dict[str, Any]:
        return {
            "set": set_id,
            "sets": list(dict.fromkeys(archive.set_id for archive in self.archives)),
            "tapes": [cartridge.tape_id for cartridge in self.cartridges],
            "copies": [cartridge.tape_id for cartridge in self.copies],
            "or_tapes": [cartridge.tape_id for cartridge in self.others],
            "archives": len(self.archives),
            "bytes_on_tape": sum(archive.bytes for archive in self.archives),
            "files": self.files,
            "bytes": self.size,
        }


def plan(
    session: Session,
    set_id: str,
    condition: ColumnElement[bool] | None,
    choose: Callable[[Live], None] = lambda _file: None,
) -> RestorePlan:
    """The archives for the state of a set, or for its files that match ``condition``.

    ``choose`` gets each file, in the order of paths. Raises NotFound if a set is gone.
    """
    sets = lineage.chain(session, set_id)
    check_on_tape(sets)
    plan = RestorePlan(Places(session, sets))
    needed: set[tuple[str, int]] = set()
    pieces = lineage.pieces(session, sets, condition)
    for file in lineage.tree(session, sets, condition):
        plan.files += 1
        plan.size += file.size
        cut = pieces.get((file.set_id, file.path), [])
        for part in [*lineage.pieces_of(file, cut), file]:
            needed.add((part.set_id, part.archive))
            choose(part)
    plan.archives = [
        archive
        for archive in lineage.archives_of(session, sets)
        if (archive.set_id, archive.number) in needed
    ]
    return plan


def pace(session: Session, drive: str) -> float | None:
    """The speed of a drive's latest restores in bytes a second; without any, that of its latest backups; None
    if there are neither."""
    for step in (Step.RESTORE, Step.RUN_BACKUP):
        query = (
            select(ChainStep)
            .join(ChainRun, ChainRun.id == ChainStep.run_id)
            .where(
                ChainRun.drive == drive,
                # The last part's step counts the work of the whole run.
                ChainStep.part == ChainRun.part,
                ChainStep.step == step,
                ChainStep.state == StepState.SUCCEEDED,
            )
            .order_by(ChainStep.finished_at.desc())
            .limit(LATEST)
        )
        done = [(_bytes(row), _seconds(row)) for row in session.scalars(query)]
        size, seconds = sum(each[0] for each in done), sum(each[1] for each in done)
        if size and seconds:
            return size / seconds
    return None


LATEST = 5
"""The number of restores, or backups, that define the speed of a drive."""


def _bytes(step: ChainStep) -> int:
    return int((step.result or {}).get("bytes") or 0)


def _seconds(step: ChainStep) -> float:
    if step.started_at is None or step.finished_at is None:
        return 0.0
    return (step.finished_at - step.started_at).total_seconds()


def check_on_tape(sets: Iterable[BackupSet]) -> None:
    """Raises NotFound that names the first set of a chain whose tape was formatted since."""
    for stored in sets:
        if stored.state is SetState.DESTROYED:
            raise NotFound(
                M(
                    "Set {set} is destroyed: its tape was formatted on {date}.",
                    set=stored.id,
                    date=f"{stored.destroyed_at:%Y-%m-%d}",
                ),
                M("'tapeline sets list' shows the others."),
            )


def check_paths(session: Session, set_id: str, paths: Iterable[str], patterns: Iterable[str]) -> None:
    """Raises NotFound that names the first path or pattern that matches nothing in the set."""
    sets = lineage.chain(session, set_id)
    check_on_tape(sets)
    wishes = [(path, catalog.wanted([path])) for path in paths]
    wishes += [(pattern, catalog.wanted([], [pattern])) for pattern in patterns]
    for wish, condition in wishes:
        if next(lineage.tree(session, sets, condition), None) is None:
            raise NotFound(
                M("'{path}' is not in set {set}.", path=wish, set=set_id),
                M("'tapeline sets find {path} --set {set}' searches it.", path=wish, set=set_id),
            )
