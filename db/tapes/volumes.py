"""The volume on a cartridge: which one its row describes, and which sets are gone when the tape shows
another."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, exists, or_, select, update
from sqlalchemy.orm import Session

from db.models import BackupArchive, BackupSet, TapeCartridge, now
from db.tapes import copies
from policy.tapes.facts import CartridgeState, SetState
from policy.tapes.medium import MediumReport


def is_another_cartridge(cartridge: TapeCartridge, medium: MediumReport) -> bool:
    """Whether row and drive certainly describe two cartridges. The strongest mark that both have decides: the
    chip's serial, an equal volume UUID, the barcode. Another UUID without such a mark may be a cartridge of
    ours that was formatted elsewhere, or any other one: an unknown cartridge is not ours."""
    if cartridge.medium_serial and medium.get("medium_serial"):
        return bool(cartridge.medium_serial != medium["medium_serial"])
    uuids = (cartridge.volume_uuid, medium.get("volume_uuid"))
    if all(uuids) and uuids[0] == uuids[1]:
        return False
    if cartridge.barcode and medium.get("barcode"):
        return bool(cartridge.barcode != medium["barcode"])
    return all(uuids)


def is_another_volume(cartridge: TapeCartridge, medium: MediumReport) -> bool:
    """Whether somebody else has formatted a cartridge since: its row describes a volume that is gone."""
    shown = medium.get("volume_uuid")
    return bool(shown and cartridge.volume_uuid and shown != cartridge.volume_uuid)


def take_over(session: Session, cartridge: TapeCartridge, medium: MediumReport) -> Sequence[BackupSet]:
    """Update a row from what the tape shows of itself; returns the sets that are gone.

    Another volume is another generation, no matter who formatted it. Decisions about the cartridge
    (``retired``, ``error``, ``unknown``, its pool) apply to all its volumes, and stay.
    """
    replaced = is_another_volume(cartridge, medium)
    if replaced:
        cartridge.generation += 1
        cartridge.permit_id, cartridge.formatted_at, cartridge.bytes_used = None, now(), 0
        if cartridge.state is CartridgeState.FULL:
            cartridge.state = CartridgeState.ACTIVE
    _identify(session, cartridge, medium)
    if (capacity := medium.get("capacity")) is not None:
        cartridge.capacity = capacity
        if (free := medium.get("free")) is not None:
            cartridge.bytes_used = capacity - free
    session.flush()
    return destroy_earlier(session, cartridge, now()) if replaced else ()


def _identify(session: Session, cartridge: TapeCartridge, medium: MediumReport) -> None:
    if (serial := medium.get("serial")) is not None:
        cartridge.serial = serial
    if (barcode := medium.get("barcode")) is not None:
        cartridge.barcode = barcode
    shown = medium.get("volume_uuid")
    if shown and shown != cartridge.volume_uuid:
        cartridge.volume_uuid = shown if _is_free(session, cartridge, shown) else None
    if cartridge.medium_serial is None and medium.get("medium_serial"):
        cartridge.medium_serial = medium["medium_serial"]


def _is_free(session: Session, cartridge: TapeCartridge, volume_uuid: str) -> bool:
    """Whether no other row describes a volume. If a drive that cannot read chips has entered one, it is this
    very cartridge: its sets are entered here, and that row no longer describes any tape."""
    query = select(TapeCartridge).where(
        TapeCartridge.volume_uuid == volume_uuid, TapeCartridge.id != cartridge.id
    )
    with session.no_autoflush:
        other = session.scalar(query)
    if other is None:
        return True
    if other.medium_serial is not None:
        return False
    place = {"cartridge_id": cartridge.id, "generation": cartridge.generation}
    for model in (BackupArchive, BackupSet):
        on_it = (model.cartridge_id == other.id) & (model.generation == other.generation)
        session.execute(update(model).where(on_it).values(**place))
    copies.hand_over(session, other, cartridge)
    other.volume_uuid = other.barcode = other.label = None
    other.state = CartridgeState.RETIRED
    session.flush()
    return True


def destroy_earlier(session: Session, cartridge: TapeCartridge, moment: datetime) -> Sequence[BackupSet]:
    """Sets on earlier generations of a cartridge become DESTROYED, unless copies elsewhere take their place;
    returns those that were not so before."""
    is_earlier = BackupArchive.generation < cartridge.generation
    copies.drop_earlier(session, cartridge)
    copies.stand_in(session, BackupArchive.cartridge_id == cartridge.id, is_earlier)
    return destroy(session, _on_earlier(cartridge), moment)


def destroy(session: Session, gone: ColumnElement[bool], moment: datetime) -> Sequence[BackupSet]:
    """Mark sets as gone from their tape; returns those that were not so before."""
    marked = (
        update(BackupSet)
        .where(gone, BackupSet.state != SetState.DESTROYED)
        .values(state=SetState.DESTROYED, destroyed_at=moment)
        .returning(BackupSet)
    )
    return session.scalars(marked, execution_options={"populate_existing": True}).all()


def destroy_missing(
    session: Session, cartridge: TapeCartridge, ids: Collection[str], moment: datetime
) -> Sequence[BackupSet]:
    """Sets that are not on a tape any more become DESTROYED, unless copies elsewhere take their place;
    returns those that were not so before. A mere copy that is missing destroys nothing."""
    here = BackupArchive.cartridge_id == cartridge.id, BackupArchive.generation == cartridge.generation
    copies.drop(session, cartridge, ids)
    copies.stand_in(session, *here, BackupArchive.set_id.in_(ids))
    archived = exists().where(BackupArchive.set_id == BackupSet.id, *here)
    began = (BackupSet.cartridge_id == cartridge.id) & (BackupSet.generation == cartridge.generation)
    gone = destroy(session, BackupSet.id.in_(ids) & or_(archived, began), moment)
    # Found on another tape later, they are there: this place is as one that was formatted over.
    session.execute(
        update(BackupArchive)
        .where(*here, BackupArchive.set_id.in_([stored.id for stored in gone]))
        .values(generation=cartridge.generation - 1)
    )
    return gone


def _on_earlier(cartridge: TapeCartridge) -> ColumnElement[bool]:
    archived = exists().where(
        BackupArchive.set_id == BackupSet.id,
        BackupArchive.cartridge_id == cartridge.id,
        BackupArchive.generation < cartridge.generation,
    )
    began = (BackupSet.cartridge_id == cartridge.id) & (BackupSet.generation < cartridge.generation)
    return or_(archived, began)


def unknown(session: Session, ids: Collection[str]) -> tuple[str, ...]:
    """Those of some sets that the catalogue does not have, sorted."""
    known = session.scalars(select(BackupSet.id).where(BackupSet.id.in_(ids)))
    return tuple(sorted(set(ids) - set(known)))
