"""Cartridges: recognised by the drive's report, updated from the tape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, count
from typing import Any

from sqlalchemy import ColumnElement, false, func, or_, select, union_all, update
from sqlalchemy.orm import Session, joinedload

from db.errors import NotAllowed
from db.models import ArchiveCopy, BackupArchive, BackupSet, TapeCartridge, TapePool, now
from db.tapes import copies, erasable, kin, mounts, volumes
from policy.message import M, Message
from policy.tapes.facts import (
    CartridgeFacts,
    CartridgeState,
    SetFacts,
    TapeFacts,
)
from policy.tapes.medium import Mark, MediumReport, identity_of

MARKS: tuple[Mark, ...] = ("medium_serial", "volume_uuid", "barcode")
"""Marks that identify a cartridge, the most reliable first."""


def recognise(session: Session, medium: MediumReport) -> TapeCartridge | None:
    """The row of the cartridge that the drive describes, or None.

    The serial of the cartridge itself decides, because it survives a format; then the UUID of its volume;
    then the barcode. A label, which two tapes may have, counts only if the drive shows neither serial nor
    UUID, and not for an empty tape if the row has data on it. A row that a stronger mark contradicts is
    another cartridge.
    """
    return recognised(session, _loaded(session, _marked(medium)), medium)


def recognised(
    session: Session, latest_first: Iterable[TapeCartridge], medium: MediumReport
) -> TapeCartridge | None:
    """As ``recognise``, among rows that are loaded already, the one that changed last first."""
    rows = [row for row in latest_first if not volumes.is_another_cartridge(row, medium)]
    for name in MARKS:
        mark = medium.get(name)
        match = next((row for row in rows if mark and getattr(row, name) == mark), None)
        if match:
            return match
    label = medium.get("label")
    if medium.get("volume_uuid") or medium.get("medium_serial") or not label:
        return None
    match = _of_label(rows, label)
    is_another = match is not None and medium.get("empty") and _has_archives(session, match)
    return None if is_another else match


def _marked(medium: MediumReport) -> ColumnElement[bool]:
    """The condition that a row has one of the marks that a drive shows, or its label."""
    conditions = [getattr(TapeCartridge, name) == mark for name in MARKS if (mark := medium.get(name))]
    if label := medium.get("label"):
        conditions.append(_labelled(label))
    return or_(false(), *conditions)


def _labelled(name: str) -> ColumnElement[bool]:
    return or_(TapeCartridge.tape_id == name, TapeCartridge.label == name)


def _loaded(session: Session, condition: ColumnElement[bool]) -> Iterable[TapeCartridge]:
    """Rows with their pools, the latest first."""
    query = select(TapeCartridge).options(joinedload(TapeCartridge.pool)).where(condition)
    return session.scalars(query.order_by(TapeCartridge.updated_at.desc()))


def labelled(session: Session, name: str, medium: MediumReport) -> TapeCartridge | None:
    """The row of this tape_id, else of this label, that may describe the tape in the drive."""
    rows = _loaded(session, _labelled(name))
    return _of_label((row for row in rows if not volumes.is_another_cartridge(row, medium)), name)


def _of_label(rows: Iterable[TapeCartridge], name: str) -> TapeCartridge | None:
    matching = [row for row in rows if name in (row.tape_id, row.label)]
    return next((row for row in matching if row.tape_id == name), next(iter(matching), None))


def _has_archives(session: Session, cartridge: TapeCartridge) -> bool:
    on_it = (BackupArchive.cartridge_id == cartridge.id) & (BackupArchive.generation == cartridge.generation)
    archived = select(BackupArchive.set_id).where(on_it)
    return session.scalar(union_all(archived, copies.on(cartridge)).limit(1)) is not None


def find(session: Session, name: str) -> TapeCartridge | None:
    """A cartridge by its tape_id, else by its label."""
    return session.scalar(select(TapeCartridge).where(TapeCartridge.tape_id == name)) or session.scalar(
        select(TapeCartridge).where(TapeCartridge.label == name).order_by(TapeCartridge.updated_at.desc())
    )


def every(session: Session) -> Sequence[TapeCartridge]:
    """All cartridges with their pools, by tape_id."""
    rows = select(TapeCartridge).options(joinedload(TapeCartridge.pool))
    return session.scalars(rows.order_by(TapeCartridge.tape_id)).all()


def in_use(session: Session) -> Sequence[TapeCartridge]:
    """The cartridges that runs may use, those that were formatted longest ago first."""
    usable = TapeCartridge.state.in_([CartridgeState.ACTIVE, CartridgeState.FULL])
    return session.scalars(select(TapeCartridge).where(usable).order_by(TapeCartridge.formatted_at)).all()


def tape_facts(session: Session, medium: MediumReport) -> TapeFacts:
    """The tape in the drive as the rules see it.

    Decisions about a cartridge apply to every volume on it. The sets in its row do not apply to a volume that
    we did not make. For a blank tape they are kept: the two contradict each other.
    """
    cartridge = recognise(session, medium)
    return reported(
        medium,
        _facts(session, cartridge, medium) if cartridge else None,
        erasable=erasable.is_confirmed(session, medium),
        mount_failed=mounts.last_failure(session, medium),
    )


def reported(
    medium: MediumReport, known: CartridgeFacts | None, *, erasable: bool, mount_failed: Message | None
) -> TapeFacts:
    """The tape that a drive reports."""
    return TapeFacts(
        state=str(medium["state"]),
        label=medium.get("label"),
        empty=medium.get("empty"),
        write_protected=bool(medium.get("write_protected")),
        identity=identity(medium),
        known=known,
        lock=str(medium.get("lock") or "none"),
        drive=medium.get("drive"),
        erasable=erasable,
        mount_failed=mount_failed,
    )


def identity(medium: MediumReport) -> tuple[tuple[str, str | None], ...]:
    """What distinguishes this tape from every other, comparable as a whole."""
    return tuple(identity_of(medium).items())  # type: ignore[arg-type]  # each is a text or None


def _facts(session: Session, cartridge: TapeCartridge, medium: MediumReport) -> CartridgeFacts:
    is_another = volumes.is_another_volume(cartridge, medium)
    return described(cartridge, () if is_another else kin.Family(session, kin.on(cartridge)).wanted)


def described(cartridge: TapeCartridge, sets: tuple[SetFacts, ...]) -> CartridgeFacts:
    """A row as the rules see it, with the sets that are on its present generation."""
    return CartridgeFacts(
        id=cartridge.id,
        tape_id=cartridge.tape_id,
        label=cartridge.label,
        state=cartridge.state,
        pool=cartridge.pool.name if cartridge.pool else None,
        volume_uuid=cartridge.volume_uuid,
        sets=sets,
    )


def labels_of_others(session: Session, medium: MediumReport) -> set[str]:
    """Every label and tape_id of other cartridges than the one in the drive."""
    mine = recognise(session, medium)
    rows = session.execute(select(TapeCartridge.id, TapeCartridge.tape_id, TapeCartridge.label))
    return {
        name
        for cartridge_id, *names in rows
        for name in names
        if name and (mine is None or cartridge_id != mine.id)
    }


def formatted(
    session: Session,
    cartridge_id: int | None,
    before: MediumReport,
    after: MediumReport,
    *,
    permit_id: int | None = None,
) -> TapeCartridge:
    """Record a format that was read back: the row of the cartridge, its new volume, one generation more.

    Sets of earlier generations become DESTROYED. Recording the same permit, or without one the same volume,
    twice changes nothing.
    """
    cartridge = session.get(TapeCartridge, cartridge_id) if cartridge_id else recognise(session, before)
    cartridge = cartridge or recognise(session, after) or _new(session, after)
    if _is_recorded(cartridge, after, permit_id):
        return cartridge
    cartridge.generation += 1
    cartridge.permit_id = permit_id
    cartridge.formatted_at = now()
    cartridge.state = CartridgeState.ACTIVE
    cartridge.bytes_used = 0
    cartridge.volume_uuid = None  # That of the previous generation: this one is counted above.
    volumes.take_over(session, cartridge, after)
    mounts.worked(session, after)
    volumes.destroy_earlier(session, cartridge, now())
    return cartridge


def _is_recorded(cartridge: TapeCartridge, after: MediumReport, permit_id: int | None) -> bool:
    """For a drive that does not report its volume, every volume looks like the last one."""
    if permit_id is not None:
        return cartridge.permit_id == permit_id
    volume_uuid = after.get("volume_uuid")
    return bool(cartridge.generation and volume_uuid and cartridge.volume_uuid == volume_uuid)


def _new(session: Session, medium: MediumReport) -> TapeCartridge:
    """A row for a tape whose label was read back from it."""
    label = medium["label"]
    assert label is not None, "it was read back"
    name = label
    if session.scalar(select(TapeCartridge.id).where(TapeCartridge.tape_id == name)):
        name = _free_name(session, name, medium.get("barcode") or medium.get("volume_uuid"))
    cartridge = TapeCartridge(
        tape_id=name, label=label, state=CartridgeState.ACTIVE, generation=0, bytes_used=0
    )
    session.add(cartridge)
    session.flush()
    return cartridge


def _free_name(session: Session, label: str, mark: str | None) -> str:
    """A name for another cartridge of the same label: from the drive's report, else its number."""
    taken = set(session.scalars(select(TapeCartridge.tape_id).where(TapeCartridge.tape_id.startswith(label))))
    names = chain([f"{label}-{mark[:12]}"] if mark else [], (f"{label}-{number}" for number in count(2)))
    return next(name for name in names if name not in taken)


def arrived(session: Session, medium: MediumReport) -> tuple[TapeCartridge | None, Sequence[BackupSet]]:
    """Update the row of a known cartridge from the volume that a drive shows; returns it, and the sets that
    are gone because the volume was made elsewhere."""
    cartridge = recognise(session, medium)
    if cartridge is None or not volumes.is_another_volume(cartridge, medium):
        return cartridge, ()
    cartridge.label = medium.get("label")
    return cartridge, volumes.take_over(session, cartridge, medium)


def update_label(
    session: Session, *, original: str | None, medium: MediumReport
) -> tuple[TapeCartridge, str | None]:
    """Update the row of the cartridge from the label on its tape; returns the row and its former tape_id.

    Found by the drive's report, else by the original tape_id, else by the original label, unless that is
    another cartridge. If another row has the new tape_id, only the label changes. An unknown tape gets a row.
    """
    cartridge = recognise(session, medium) or (labelled(session, original, medium) if original else None)
    before = cartridge.tape_id if cartridge else None
    if cartridge is None:
        cartridge = _new(session, medium)
        cartridge.generation = 1
    label = medium["label"]
    assert label is not None, "it was read back"
    taken = session.scalar(
        select(TapeCartridge.id).where(TapeCartridge.tape_id == label, TapeCartridge.id != cartridge.id)
    )
    if taken is None:
        cartridge.tape_id = label
    cartridge.label = label
    volumes.take_over(session, cartridge, medium)
    cartridge.updated_at = now()
    session.flush()
    return cartridge, before


def mark(session: Session, cartridge_id: int, state: CartridgeState) -> None:
    """Change what may be done with a cartridge."""
    session.execute(
        update(TapeCartridge).where(TapeCartridge.id == cartridge_id).values(state=state, updated_at=now())
    )


def filled(session: Session, cartridge_id: int) -> None:
    """Nothing more fits on this generation of a cartridge; its archives and copies define what is on it."""
    size = func.coalesce(func.sum(BackupArchive.bytes), 0)
    archived = select(size).where(copies.here(BackupArchive)).correlate(TapeCartridge).scalar_subquery()
    is_of = (ArchiveCopy.set_id == BackupArchive.set_id) & (ArchiveCopy.number == BackupArchive.number)
    copied = select(size).join(ArchiveCopy, is_of).where(copies.here(ArchiveCopy))
    on_it = archived + copied.correlate(TapeCartridge).scalar_subquery()
    session.execute(
        update(TapeCartridge)
        .where(TapeCartridge.id == cartridge_id)
        .values(
            state=CartridgeState.FULL,
            bytes_used=func.greatest(TapeCartridge.bytes_used, on_it),
            updated_at=now(),
        )
    )


def condition(
    session: Session, cartridge: TapeCartridge, health: Mapping[str, Any], wear: Iterable[Message]
) -> None:
    """Store the condition that drive and chip report; a value that they do not report stays.

    ``wear``: the values past their limit.
    """
    for name in ("loads", "written_bytes", "write_errors", "read_errors"):
        if health.get(name) is not None:
            setattr(cartridge, name, health[name])
    cartridge.tape_alerts = list(health.get("tape_alerts") or ())
    cartridge.health_at = now()
    cartridge.wear = [each.to_json() for each in wear]
    session.flush()


def register(session: Session, medium: MediumReport, tape_id: str, pool: str | None) -> TapeCartridge:
    """Enter the cartridge that is in a drive, or put a known one into a pool.

    Raises NotAllowed if another row has the name, or if the cartridge could not be recognised again.
    """
    cartridge = recognise(session, medium)
    if cartridge is None:
        _check_new(session, medium, tape_id)
        cartridge = TapeCartridge(
            tape_id=tape_id, label=medium.get("label"), state=CartridgeState.ACTIVE, bytes_used=0
        )
        cartridge.generation = 1 if medium["state"] == "formatted" else 0
        session.add(cartridge)
        session.flush()
    volumes.take_over(session, cartridge, medium)
    if pool is not None:
        cartridge.pool = _pool(session, pool)
    cartridge.updated_at = now()
    session.flush()
    return cartridge


def enter(session: Session, barcode: str, pool: str | None) -> TapeCartridge:
    """Make the row of a cartridge of which only the barcode is known."""
    row = TapeCartridge(
        tape_id=barcode, barcode=barcode, state=CartridgeState.ACTIVE, generation=0, bytes_used=0
    )
    if pool is not None:
        row.pool = _pool(session, pool)
    session.add(row)
    session.flush()
    return row


def _check_new(session: Session, medium: MediumReport, tape_id: str) -> None:
    if find(session, tape_id):
        raise NotAllowed(
            M("There is a tape '{name}' already, and it is not the one in the drive.", name=tape_id),
            M("Give another name with --id."),
        )
    if not any(medium.get(name) for name in ("label", "volume_uuid", "medium_serial")):
        raise NotAllowed(
            M("The tape in the drive has no label and no serial number: it could not be recognised again."),
            M("Format it first, or write a label on it: tapeline tape label NAME"),
        )


def _pool(session: Session, name: str) -> TapePool:
    pool = session.scalar(select(TapePool).where(TapePool.name == name))
    if pool is None:
        pool = TapePool(name=name)
        session.add(pool)
    return pool


def used(session: Session, cartridge_id: int, capacity: int | None, free: int) -> None:
    """Store how full a cartridge is."""
    if capacity is not None:
        session.execute(
            update(TapeCartridge)
            .where(TapeCartridge.id == cartridge_id)
            .values(bytes_used=capacity - free, capacity=capacity, updated_at=now())
        )
