"""Which sets are kept with which: sets, with all that follow them, by two statements for any number."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Select,
    Text,
    and_,
    cast,
    exists,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.orm import Session

from db.models import ArchiveCopy, BackupArchive, BackupSet, ScheduledTask, TapeCartridge
from db.models.base import is_elsewhere
from db.states import BackupType
from db.tapes import copies, risk
from policy.tapes import kin
from policy.tapes.facts import SetFacts, SetState

StoredSet = Any
"""A set as a row, with the facts that the rules need."""
Ids = Select[str] | CompoundSelect[str]
"""A query for the ids of sets."""

_COLUMNS = (
    BackupSet.id,
    BackupSet.run_id,
    BackupSet.template_id,
    BackupSet.type,
    BackupSet.parent_id,
    BackupSet.state,
    BackupSet.period,
    BackupSet.started_at,
    BackupSet.retention_until,
    BackupSet.keep_sets,
    BackupSet.expired_at,
    BackupSet.damaged,
    is_elsewhere(BackupSet.home).label("is_restored"),
)


def places(on: ColumnElement[bool] | None = None) -> CompoundSelect[int, str]:
    """A query for the cartridges and the sets that have data on their present generation, be it a copy.

    ``on``: a condition on ``TapeCartridge``.
    """
    begun = select(TapeCartridge.id, BackupSet.id).join(
        BackupSet,
        and_(BackupSet.cartridge_id == TapeCartridge.id, BackupSet.generation == TapeCartridge.generation),
    )
    archived = select(TapeCartridge.id, BackupArchive.set_id).join(
        BackupArchive,
        and_(
            BackupArchive.cartridge_id == TapeCartridge.id,
            BackupArchive.generation == TapeCartridge.generation,
        ),
    )
    copied = select(TapeCartridge.id, ArchiveCopy.set_id).join(ArchiveCopy, copies.here(ArchiveCopy))
    if on is not None:
        begun, archived, copied = begun.where(on), archived.where(on), copied.where(on)
    # UNION: most sets are found in two ways.
    return begun.union(archived, copied)


def on(cartridge: TapeCartridge) -> Ids:
    """A query for the sets that have data on the present generation of a cartridge, be it a copy."""
    begun = select(BackupSet.id).where(
        BackupSet.cartridge_id == cartridge.id, BackupSet.generation == cartridge.generation
    )
    archived = select(BackupArchive.set_id).where(
        BackupArchive.cartridge_id == cartridge.id, BackupArchive.generation == cartridge.generation
    )
    return begun.union(archived, copies.on(cartridge))


class Family:
    """Some sets, and all that follow them."""

    def __init__(
        self, session: Session, wanted: Ids, change: Callable[[SetFacts], SetFacts] = lambda each: each
    ) -> None:
        """``change``: more facts of each set."""
        rows = session.execute(_query(wanted)).all()
        newer = _Newer(session, rows)
        self.rows: dict[str, StoredSet] = {row.id: row for row in rows}
        parents = {row.id: row.parent_id for row in rows}
        self.facts = kin.joined((change(_alone(row, newer.than(row))) for row in rows), parents)
        self._wanted = [row.id for row in rows if row.is_wanted]

    @property
    def wanted(self) -> tuple[SetFacts, ...]:
        """The requested sets, in the order in which they were begun."""
        return self.of(self._wanted)

    def of(self, ids: Iterable[str]) -> tuple[SetFacts, ...]:
        """Some of them, in the order in which they were begun."""
        return tuple(sorted((self.facts[each] for each in ids), key=lambda each: (each.started_at, each.id)))


def _query(wanted: Ids) -> Any:
    """Each set, with whether its schedule is removed, and whether it is sealed."""
    # Asked once: the statement needs it in three places.
    asked = wanted.cte("asked")
    first = select(asked.c[0].label("id")).union(_astray()).subquery()
    family = select(first.c.id).cte("family", recursive=True)
    # OFFSET keeps PostgreSQL from reading all sets for each link of a chain, however few it expects.
    follower = select(BackupSet.id).where(BackupSet.parent_id == family.c.id).offset(0).lateral()
    family = family.union(select(follower.c.id).select_from(family.join(follower, true())))
    removed = select(ScheduledTask.template_id).where(ScheduledTask.archived_at.is_not(None))
    row = (
        select(
            *_COLUMNS,
            BackupSet.template_id.in_(removed).label("is_removed"),
            exists().where(BackupArchive.set_id == BackupSet.id).label("is_archived"),
            BackupSet.id.in_(select(asked.c[0])).label("is_wanted"),
        )
        .where(BackupSet.id == family.c.id)
        .offset(0)
        .lateral("row")
    )
    return select(*row.c).select_from(family.join(row, true()))


def _astray() -> Select[str]:
    """Increments of which nobody knows what they follow: it may be any of the requested sets."""
    return select(BackupSet.id).where(BackupSet.type != BackupType.FULL, BackupSet.parent_id.is_(None))


class _Newer:
    """How many complete sets of its template and type were begun after a set and are neither damaged nor at
    risk, as far as its retention counts them. Computed only for sets for which it matters."""

    def __init__(self, session: Session, rows: Iterable[StoredSet]) -> None:
        self._begun: dict[Any, list[datetime]] = defaultdict(list)
        series = {_series(row) for row in rows if _is_counted(row)}
        if not series:
            return
        most = max((row.keep_sets or 1 for row in rows if _is_counted(row)), default=1)
        for template, kind, moment in session.execute(_newest(series, most)):
            self._begun[template, BackupType(kind)].append(moment)
        for begun in self._begun.values():
            begun.sort()

    def than(self, row: StoredSet) -> int:
        """The number of newer ones, counted up to the number that its template keeps."""
        begun = self._begun[_series(row)] if _is_counted(row) else []
        return min(len(begun) - bisect_right(begun, row.started_at), row.keep_sets or 1)


def _newest(series: Collection[tuple[int, BackupType]], most: int) -> Any:
    """When the newest good sets of each series were begun, so many of each: an index finds them, however many
    there are."""
    listed = sorted(series)
    asked = (
        func.unnest(
            literal([template for template, _ in listed], ARRAY(BigInteger)),
            literal([kind.value for _, kind in listed], ARRAY(Text)),
        )
        .table_valued("template", "kind")
        .render_derived(name="series")
    )
    good = (
        select(BackupSet.started_at)
        .where(
            BackupSet.template_id == asked.c.template,
            cast(BackupSet.type, Text) == asked.c.kind,
            BackupSet.state == SetState.COMPLETE,
            func.coalesce(BackupSet.damaged, 0) == 0,
            ~risk.at_risk(),
        )
        .order_by(BackupSet.started_at.desc())
        .limit(most)
        .lateral()
    )
    return select(asked.c.template, asked.c.kind, good.c.started_at).join(good, true())


def _is_counted(row: StoredSet) -> bool:
    return row.template_id is not None and (row.keep_sets is not None or row.type is BackupType.FULL)


def _series(row: StoredSet) -> tuple[int, BackupType]:
    return row.template_id, row.type


def _alone(row: StoredSet, newer: int) -> SetFacts:
    """A set as the rules see it, without its followers."""
    return SetFacts(
        id=row.id,
        template_id=row.template_id,
        run_id=row.run_id,
        type=row.type.value,
        state=row.state,
        period=row.period,
        started_at=row.started_at,
        retention_until=row.retention_until,
        keep_sets=row.keep_sets,
        newer=newer if row.keep_sets is not None else 0,
        expired=row.expired_at is not None,
        is_imported=_is_from_elsewhere(row),
        is_newest_full=newer == 0 and _is_newest_full(row),
        is_sealed=row.state is SetState.COMPLETE or row.is_archived,
    )


def _is_from_elsewhere(row: StoredSet) -> bool:
    """It came from a tape, or with the copy from which this database was restored."""
    return row.run_id is None or bool(row.is_restored)


def _is_newest_full(row: StoredSet) -> bool:
    """Whether it is the newest full set, because no good one is newer. A damaged one does not replace the
    good one before it. If one from elsewhere is incomplete, the rest may be on a tape that was not imported.
    """
    if row.type is not BackupType.FULL or row.template_id is None or row.damaged:
        return False
    may_be_whole = row.state is SetState.COMPLETE or (
        row.state is SetState.INCOMPLETE and _is_from_elsewhere(row)
    )
    return may_be_whole and not row.is_removed
