"""Why a volume could not be mounted: remembered until it mounts again."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import MountFailure, TapeCartridge, now
from policy.message import Message
from policy.tapes.medium import Mark, MediumReport, first_mark

MARKS: tuple[Mark, ...] = ("volume_uuid", "medium_serial", "barcode", "label")
"""Marks of the volume, else of the cartridge, the most reliable first."""


def failed(session: Session, medium: MediumReport, error: Message) -> None:
    """Store why a volume could not be mounted. Without a mark, nothing can be stored."""
    mark = _mark(medium)
    if mark is None:
        return
    values = {"error": error.to_json(), "failed_at": now()}
    session.execute(
        insert(MountFailure)
        .values(mark=mark, **values)
        .on_conflict_do_update(index_elements=["mark"], set_=values)
    )


def worked(session: Session, medium: MediumReport) -> None:
    """The volume was mounted, checked or made anew: earlier failures are over."""
    marks = [mark for name in MARKS if (mark := medium.get(name))]
    session.execute(delete(MountFailure).where(MountFailure.mark.in_(marks)))


def last_failure(session: Session, medium: MediumReport) -> Message | None:
    """Why the last attempt to mount the volume failed; None: it succeeded, or nobody tried."""
    mark = _mark(medium)
    failure = session.get(MountFailure, mark) if mark and medium["state"] == "formatted" else None
    return Message.from_json(failure.error) if failure else None


def failures(session: Session) -> dict[str, Message]:
    """Every volume whose last mount failed, by its mark, and why."""
    return {
        failure.mark: Message.from_json(failure.error) for failure in session.scalars(select(MountFailure))
    }


def of_medium(medium: MediumReport, failures: Mapping[str, Message]) -> Message | None:
    """As ``last_failure``, from failures that are loaded already."""
    mark = _mark(medium)
    return failures.get(mark) if mark and medium["state"] == "formatted" else None


def of_row(cartridge: TapeCartridge, failures: Mapping[str, Message]) -> Message | None:
    """The last failure of the volume that is on a cartridge according to its row."""
    mark = _mark(
        {
            "volume_uuid": cartridge.volume_uuid,
            "medium_serial": cartridge.medium_serial,
            "barcode": cartridge.barcode,
            "label": cartridge.label,
        }
    )
    return failures.get(mark) if mark else None


def _mark(medium: MediumReport) -> str | None:
    return first_mark(medium, MARKS)
