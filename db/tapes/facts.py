"""Many cartridges as the rules see them, with a fixed number of statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, CompoundSelect, and_, func, select, true, union
from sqlalchemy.orm import Session, joinedload

from db.models import ArchiveCopy, BackupArchive, BackupSet, Drive, TapeCartridge
from db.tapes import cartridges, copies, erasable, kin, mounts, volumes
from policy.tapes import retention
from policy.tapes.facts import CartridgeFacts, SetState, TapeFacts
from policy.tapes.medium import MediumReport


@dataclass(frozen=True, slots=True)
class Bound:
    """What is certain of the sets on a cartridge, without loading them."""

    kept_until: datetime
    """One of them is kept at least until then."""
    begun: datetime
    """None of them was begun later."""


class LoadedTapes:
    """Cartridges with the sets on their present generation, loaded at once."""

    def __init__(self, session: Session, on: ColumnElement[bool] | None = None, *, look: bool = True) -> None:
        """``on``: a condition on ``TapeCartridge``; without one, every cartridge. ``look``: load their sets,
        too; else ``look`` loads those of some."""
        rows = select(TapeCartridge).options(joinedload(TapeCartridge.pool)).order_by(TapeCartridge.id)
        if on is not None:
            rows = rows.where(on)
        self.cartridges: dict[int, TapeCartridge] = {row.id: row for row in session.scalars(rows)}
        self.not_mounted = mounts.failures(session)
        self._sets: dict[int, list[str]] = defaultdict(list)
        self._families: dict[int, kin.Family] = {}
        if look:
            self.look(session, on)

    def look(self, session: Session, on: ColumnElement[bool] | None = None) -> None:
        """Load the sets of cartridges."""
        places = kin.places(on)
        family = kin.Family(session, select(places.subquery().c[1]).distinct())
        for cartridge_id, set_id in session.execute(places):
            self._sets[cartridge_id].append(set_id)
            self._families[cartridge_id] = family

    def look_briefly(
        self, session: Session, ids: Collection[int], moment: datetime, period: str | None
    ) -> None:
        """Load so many sets of cartridges as decide what a run of this period does with each of them: if one
        is kept beyond ``moment``, the tape is not formatted, and only the last one and those of the period
        still matter."""
        bounds = self.bounds(session, TapeCartridge.id.in_(ids))
        kept = {tape for tape, bound in bounds.items() if bound.kept_until > moment}
        others = kin.places(TapeCartridge.id.in_(set(ids) - kept))
        deciding = [
            (tape, set_id) for tape, set_id in session.execute(union(_deciding(kept, period), others))
        ]
        wanted = select(BackupSet.id).where(BackupSet.id.in_({set_id for _, set_id in deciding}))
        family = kin.Family(session, wanted)
        for cartridge_id, set_id in deciding:
            self._sets[cartridge_id].append(set_id)
            self._families[cartridge_id] = family

    def known(self, cartridge_id: int) -> CartridgeFacts:
        """A cartridge as the rules see it."""
        family = self._families.get(cartridge_id)
        sets = family.of(self._sets[cartridge_id]) if family else ()
        return cartridges.described(self.cartridges[cartridge_id], sets)

    def facts(self, cartridge_id: int) -> TapeFacts:
        """A cartridge as a drive would report it, if it is still as its row describes it."""
        known = self.known(cartridge_id)
        return TapeFacts(
            state="formatted",
            label=known.label,
            empty=not known.sets,
            write_protected=False,
            identity=(("tape_id", known.tape_id),),
            known=known,
            mount_failed=mounts.of_row(self.cartridges[cartridge_id], self.not_mounted),
        )

    def bounds(self, session: Session, on: ColumnElement[bool] | None = None) -> dict[int, Bound]:
        """What is certain of the sets of each cartridge. Indexes find it, however many sets there are."""
        begun, kept = _begun(), (BackupSet.state != SetState.DESTROYED, BackupSet.expired_at.is_(None))
        until = select(func.max(BackupSet.retention_until)).where(*begun, *kept)
        for_ever = select(BackupSet.id).where(
            *begun, *kept, BackupSet.retention_until.is_(None), BackupSet.keep_sets.is_(None)
        )
        sealed = select(func.max(BackupArchive.sealed_at)).where(
            BackupArchive.cartridge_id == TapeCartridge.id,
            BackupArchive.generation == TapeCartridge.generation,
        )
        copied = select(func.max(ArchiveCopy.copied_at)).where(copies.here(ArchiveCopy))
        rows = session.execute(
            select(
                TapeCartridge.id,
                for_ever.exists(),
                until.scalar_subquery(),
                select(func.max(BackupSet.started_at)).where(*begun).scalar_subquery(),
                # No archive of a set was sealed or copied before the set was begun.
                sealed.scalar_subquery(),
                copied.scalar_subquery(),
            ).where(on if on is not None else true())
        )
        return {
            tape: Bound(
                retention.NEVER if ever else last or retention.ALWAYS,
                max(each or retention.ALWAYS for each in begun_by),
            )
            for tape, ever, last, *begun_by in rows
        }


def _begun() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """The condition that a set was begun on the present generation of a cartridge."""
    return BackupSet.cartridge_id == TapeCartridge.id, BackupSet.generation == TapeCartridge.generation


def _deciding(tapes: Collection[int], period: str | None) -> CompoundSelect[int, str]:
    """A query for those cartridges, and for the set of each that was begun last, one that is kept longest,
    one of a period, and all that were begun on another cartridge, or are copies."""
    there = select(BackupSet.id).where(*_begun(), BackupSet.state != SetState.DESTROYED)
    last = BackupSet.started_at.desc()
    is_certain = BackupSet.retention_until.is_not(None) | BackupSet.keep_sets.is_(None)
    longest = there.where(BackupSet.expired_at.is_(None), is_certain)
    queries = (
        there.order_by(last),
        longest.order_by(BackupSet.retention_until.desc().nulls_first()),
        there.where(BackupSet.period == period).order_by(last),
    )
    laterals = [each.limit(1).lateral() for each in queries]
    begun = [
        select(TapeCartridge.id, each.c.id).join(each, true()).where(TapeCartridge.id.in_(tapes))
        for each in laterals
    ]
    here = (
        TapeCartridge.id == BackupArchive.cartridge_id,
        TapeCartridge.generation == BackupArchive.generation,
    )
    gone_on = (
        select(TapeCartridge.id, BackupSet.id)
        .join_from(TapeCartridge, BackupArchive, and_(*here))
        .join(BackupSet, BackupSet.id == BackupArchive.set_id)
        .where(TapeCartridge.id.in_(tapes), ~func.coalesce(and_(*_begun()), False))
    )
    copied = (
        select(TapeCartridge.id, ArchiveCopy.set_id)
        .join_from(TapeCartridge, ArchiveCopy, copies.here(ArchiveCopy))
        .where(TapeCartridge.id.in_(tapes))
    )
    return union(*begun, gone_on, copied)


class Inside:
    """The drives with a tape in them at the last inspection, and these tapes as the rules see them: as
    ``cartridges.tape_facts``, for all drives at once."""

    def __init__(self, session: Session, shelf: LoadedTapes) -> None:
        """``shelf``: every cartridge, its sets loaded or not."""
        self.tapes: dict[str, tuple[MediumReport, TapeFacts, int | None]] = {}
        """By drive: what it reports, the facts, and the row of the known cartridge."""
        drives = session.scalars(select(Drive).order_by(Drive.name))
        media = {row.name: row.medium for row in drives if row.medium and row.medium["state"] != "no_medium"}
        latest_first = sorted(shelf.cartridges.values(), key=lambda row: row.updated_at, reverse=True)
        self.rows = rows = {
            name: cartridges.recognised(session, latest_first, medium) for name, medium in media.items()
        }
        here = ((row, media[name]) for name, row in rows.items() if row)
        ids = {row.id for row, medium in here if not volumes.is_another_volume(row, medium)}
        if ids:
            shelf.look(session, TapeCartridge.id.in_(ids))
        for name, medium in media.items():
            row = rows[name]
            known = None
            if row is not None:
                known = shelf.known(row.id) if row.id in ids else cartridges.described(row, ())
            facts = cartridges.reported(
                medium,
                known,
                erasable=erasable.is_confirmed(session, medium),
                mount_failed=mounts.of_medium(medium, shelf.not_mounted),
            )
            self.tapes[name] = medium, facts, row.id if row else None

    @property
    def cartridges(self) -> dict[int, str]:
        """The known cartridges that are in a drive, with the drive's name."""
        return {number: name for name, (_, _, number) in self.tapes.items() if number is not None}
