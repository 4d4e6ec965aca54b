"""What an observer remembers of every set, who forgets nothing and believes no database twice."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from db.models import BackupSet, ChainRun
from db.states import BackupType
from policy.tapes.facts import SetState
from tests import cartridges


@dataclass
class Remembered:
    """A set, as it was when the facts of it were all there."""

    id: str
    schedule: str | None
    """None: it is from before the first day."""
    is_full: bool
    parent: str | None
    started_at: datetime
    days: int | None
    keep: int | None
    """As many sets of its schedule and type as are kept."""
    until: datetime | None = None
    """Of a set from before the first day: how long it is kept."""
    ended_at: datetime | None = None
    """None: it was never whole."""
    on: frozenset[str] = frozenset()
    """The cartridges that it was written on."""
    gone_at: datetime | None = None
    """A format that a permit allowed has begun to erase it."""
    gone_from: int = 0
    """The database that this permit stands in, counted from the first."""
    lost_at: datetime | None = None
    """Somebody else has erased it, and nobody reports that."""
    lost_on: str | None = None
    """The cartridge on which that happened."""
    tree: Path | None = None
    """The source as it was while the set was made; None: it changed meanwhile."""
    survey: Any = None
    files: int = 0
    """In its source when the guard judged it."""
    usual: int = 0
    """Files of the last set that was whole then."""
    is_accepted: bool = False

    @property
    def counts(self) -> bool:
        """Whether it may push another set past its time: it is whole, and has no fewer than half of the usual
        files, or a person has accepted that."""
        is_as_usual = self.files * 2 >= self.usual and (self.files > 0 or not self.usual)
        return self.ended_at is not None and (is_as_usual or self.is_accepted)


class Memory:
    """The sets of a history; ``plans``: what each schedule says of keeping them."""

    def __init__(self, trees: Path) -> None:
        self.sets: dict[str, Remembered] = {}
        self.plans: dict[str, tuple[int | None, int | None]] = {}
        self._trees = trees
        self._followers: dict[str | None, list[Remembered]] = defaultdict(list)
        self.database = 0
        """How many databases were lost."""

    def know(self, set_id: str, until: datetime, started_at: datetime) -> None:
        """A set from before the first day."""
        self.sets[set_id] = Remembered(
            set_id, None, True, None, started_at, None, None, until, ended_at=started_at
        )

    def learn(self, session: Any) -> None:
        """Look at what the catalogue has now: what was made since, and what became whole."""
        for stored in session.scalars(select(BackupSet).where(BackupSet.id.in_(self._unsure(session)))):
            known = self.sets.get(stored.id)
            if known is None:
                run = session.get(ChainRun, stored.run_id) if stored.run_id is not None else None
                if run is None or run.schedule is None:
                    continue
                known = self.sets[stored.id] = self._made(stored, run.schedule.name)
            known.is_accepted = bool(stored.accepted)
            if stored.survey != known.survey:
                known.survey, known.files = stored.survey, _files(stored)
                known.usual = self._usual(session, stored)
            if known.ended_at is None and stored.state is SetState.COMPLETE:
                known.ended_at = stored.finished_at
                known.on = frozenset(str(each.cartridge.medium_serial) for each in stored.archives)

    def _unsure(self, session: Any) -> list[str]:
        """The sets of the catalogue that are new, or were not whole when it was looked at last."""
        return [
            each
            for each in session.scalars(select(BackupSet.id))
            if each not in self.sets or self.sets[each].ended_at is None
        ]

    def _usual(self, session: Any, stored: BackupSet) -> int:
        """The files of the last whole set of the same template."""
        whole = select(BackupSet).where(
            BackupSet.template_id == stored.template_id,
            BackupSet.id != stored.id,
            BackupSet.finished_at.is_not(None),
            BackupSet.survey.is_not(None),
        )
        last = session.scalars(whole.order_by(BackupSet.started_at.desc()).limit(1)).first()
        return _files(last) if last else 0

    def _made(self, stored: BackupSet, schedule: str) -> Remembered:
        days, keep = self.plans[schedule]
        is_full = stored.type is BackupType.FULL
        made = Remembered(stored.id, schedule, is_full, stored.parent_id, stored.started_at, days, keep)
        made.tree = self._copy(Path(stored.sources[0]))
        self._followers[made.parent].append(made)
        return made

    def _copy(self, source: Path) -> Path | None:
        """The source as it is, kept once for all sets that found it so."""
        paths = (source, *sorted(source.iterdir()))
        state = "-".join(f"{path.name}.{path.stat().st_mtime_ns}" for path in paths)
        kept = self._trees / source.name / str(abs(hash(state)))
        if not kept.exists():
            shutil.copytree(source, kept)
        return kept

    def source_changes(self, session: Any, source: Path) -> None:
        """What was begun and is not whole holds some files as they were, and others as they will be."""
        self.learn(session)
        for each in self.sets.values():
            if each.ended_at is None and each.tree and each.tree.parent.name == source.name:
                each.tree = None

    def erased(self, folder: Path, moment: datetime) -> None:
        """A format under a permit begins on a cartridge; what is on another one too is not gone."""
        for each in self.on(folder):
            if each.gone_at is None and not cartridges.is_elsewhere(folder, each.id):
                each.gone_at, each.gone_from = moment, self.database

    def erased_elsewhere(self, folder: Path, moment: datetime) -> None:
        """Somebody else's program formats a cartridge, and nobody reports it."""
        for each in self.on(folder):
            if each.lost_on is None:
                each.lost_at, each.lost_on = moment, cartridges.medium_serial(folder)

    def on(self, folder: Path) -> Iterator[Remembered]:
        """The sets of which a cartridge holds something, as far as they are remembered."""
        return (self.sets[each] for each in cartridges.any_of_sets_on(folder) if each in self.sets)

    def excused(self) -> set[str]:
        """Sets that the catalogue may take for present although no tape has them: they were erased elsewhere,
        or before the database was replaced."""
        return {
            each.id
            for each in self.sets.values()
            if each.lost_on or (each.gone_at and each.gone_from < self.database)
        }

    def followed_in_vain(self) -> Iterator[str]:
        """Sets that were called whole although what they follow was known, or plain to see, to be gone."""
        for each in self.sets.values():
            for other in self.ancestors(each.id) if each.ended_at else ():
                ended = each.ended_at
                if ended and other.gone_at and other.gone_from == self.database and other.gone_at < ended:
                    yield f"set {each.id} became whole after a permit had erased {other.id}, which it follows"
                if other.lost_at and other.lost_on in each.on and other.lost_at < each.started_at:
                    yield f"set {each.id} follows {other.id}, which is not on the same tape any more"

    def doubted(self) -> Iterator[str]:
        """Sets that are whole although their source had lost most of its files, and nobody accepted it."""
        for each in self.sets.values():
            if each.ended_at and not each.counts:
                yield f"set {each.id} has {each.files} files of {each.usual}, and nobody has accepted it"

    # What has to be kept

    def must_keep(self, set_id: str, moment: datetime) -> bool:
        """Whether a set must not be erased: its time is not over, or a set that must be kept needs it."""
        known = self.sets[set_id]
        return not self._is_past(known, moment) or any(
            self.must_keep(each.id, moment) for each in self._followers[set_id] if each.gone_at is None
        )

    def _is_past(self, known: Remembered, moment: datetime) -> bool:
        if known.schedule is None:
            return known.until is not None and known.until <= moment
        if known.days is None and known.keep is None:
            return False
        ended = known.ended_at or known.started_at
        is_old = known.days is None or ended + timedelta(days=known.days) <= moment
        return is_old and (known.keep is None or self._newer(known) >= known.keep)

    def _newer(self, known: Remembered) -> int:
        return sum(
            each.schedule == known.schedule
            and each.is_full == known.is_full
            and each.counts
            and each.gone_at is None
            and each.started_at > known.started_at
            for each in self.sets.values()
        )

    def newest_full(self, schedule: str | None) -> str | None:
        """The newest whole full set of a schedule that no format has erased."""
        fulls: Mapping[str, datetime] = {
            each.id: each.ended_at
            for each in self.sets.values()
            if each.schedule == schedule
            and each.is_full
            and each.ended_at
            and each.counts
            and not each.gone_at
        }
        return max(fulls, key=lambda each: fulls[each], default=None)

    def ancestors(self, set_id: str) -> Iterator[Remembered]:
        """The sets that one follows, the nearest first."""
        known = self.sets.get(set_id)
        while known and known.parent and (known := self.sets.get(known.parent)):
            yield known


def _files(stored: BackupSet) -> int:
    """How many files were in its sources."""
    return sum(source["files"] or 0 for source in (stored.survey or {"sources": ()})["sources"])
