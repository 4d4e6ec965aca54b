"""A drive's report of what is in it, in the form that is stored and sent."""

from __future__ import annotations

from typing import Literal, TypedDict


class MediumReport(TypedDict, total=False):
    """``tape.drive.Medium`` as JSON; that class explains the fields. A missing field was not reported."""

    state: str
    label: str | None
    volume_uuid: str | None
    serial: str | None
    medium_serial: str | None
    barcode: str | None
    write_protected: bool
    lock: str
    drive: str | None
    empty: bool | None
    capacity: int | None
    free: int | None


Mark = Literal["volume_uuid", "medium_serial", "barcode", "label"]
"""What may distinguish a tape from others."""


def identity_of(medium: MediumReport) -> MediumReport:
    """The fields that distinguish a tape from every other, compared as a whole."""
    return {
        "state": medium.get("state", ""),
        "label": medium.get("label"),
        "volume_uuid": medium.get("volume_uuid"),
        "serial": medium.get("serial"),
        "medium_serial": medium.get("medium_serial"),
        "barcode": medium.get("barcode"),
    }


def first_mark(medium: MediumReport, marks: tuple[Mark, ...]) -> str | None:
    """The first of some marks that a tape has; None: it has none of them."""
    return next((mark for name in marks if (mark := medium.get(name))), None)
