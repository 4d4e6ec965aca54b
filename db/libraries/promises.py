"""What a barcode promises, and whether the tape keeps it: sticker, chip and row have to describe one
cartridge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.libraries import inventory
from db.models import TapeCartridge
from db.tapes import cartridges
from policy.message import M, Message
from policy.tapes.facts import CartridgeState, described
from policy.tapes.medium import MediumReport


@dataclass(frozen=True, slots=True)
class BrokenPromise:
    """A barcode that does not describe the tape in the drive."""

    reason: Message
    rows: tuple[TapeCartridge, ...]
    """The cartridges that nobody may write to until a person has looked at them."""


def keep(
    session: Session, barcode: str, medium: MediumReport, pools: Mapping[str, str]
) -> BrokenPromise | None:
    """Compare the barcode that the robot has read with the tape in the drive; None: they agree.

    A row and a barcode that meet for the first time are joined: the row of a known tape gets the barcode, and
    an unknown tape gets a row, in the pool that ``pools`` names for its barcode.
    """
    broken = contradiction(session, barcode, medium)
    if broken is None:
        row = cartridges.recognise(session, medium) or _promised(session, barcode)
        _join(session, barcode, row, medium, pools)
    return broken


def contradiction(session: Session, barcode: str, medium: MediumReport) -> BrokenPromise | None:
    """As ``keep``; it changes nothing."""
    recognised, promised = cartridges.recognise(session, medium), _promised(session, barcode)
    own = medium.get("barcode")
    rows = tuple(row for row in (recognised, promised) if row is not None)
    if own and own != barcode:
        return BrokenPromise(_reason(barcode, medium, own), rows)
    if promised is not None and recognised is not None and recognised.id != promised.id:
        return BrokenPromise(_reason(barcode, medium, recognised.tape_id), rows)
    if recognised is not None and recognised.barcode and recognised.barcode != barcode:
        return BrokenPromise(_reason(barcode, medium, recognised.barcode), rows)
    if promised is not None and recognised is None and _is_another(promised, medium):
        return BrokenPromise(_reason(barcode, medium, medium.get("medium_serial") or "-"), rows)
    return None


def _promised(session: Session, barcode: str) -> TapeCartridge | None:
    """The row of a barcode."""
    return inventory.by_barcode(session, [barcode]).get(barcode)


def _is_another(row: TapeCartridge, medium: MediumReport) -> bool:
    """Whether a mark that both have differs. Missing marks decide nothing."""
    pairs = [(getattr(row, name), medium.get(name)) for name in ("medium_serial", "volume_uuid")]
    return any(mine and shown and mine != shown for mine, shown in pairs)


def _join(
    session: Session,
    barcode: str,
    row: TapeCartridge | None,
    medium: MediumReport,
    pools: Mapping[str, str],
) -> None:
    if row is None and medium.get("medium_serial"):
        if cartridges.find(session, barcode) is not None:
            return  # Another tape has this name; the rules judge this one as unknown.
        pool = next((name for pattern, name in pools.items() if inventory.matches(barcode, pattern)), None)
        row = cartridges.enter(session, barcode, pool)
    if row is None:
        return
    row.barcode = barcode
    if row.medium_serial is None:
        row.medium_serial = medium.get("medium_serial")
    session.flush()


def doubt(session: Session, broken: BrokenPromise, barcode: str, medium: MediumReport) -> None:
    """Nothing writes to these cartridges until a person has decided. A barcode that no row has gets one, so
    that no run fetches its cartridge again."""
    rows = broken.rows
    if not inventory.is_known(session, barcode) and cartridges.find(session, barcode) is None:
        row = cartridges.enter(session, barcode, None)
        row.barcode = barcode
        row.medium_serial = None if rows else medium.get("medium_serial")
        rows = (*rows, row)
    for row in rows:
        if row.state not in {CartridgeState.RETIRED, CartridgeState.ERROR}:
            cartridges.mark(session, row.id, CartridgeState.UNKNOWN)


def _reason(barcode: str, medium: MediumReport, shown: str) -> Message:
    return M(
        "The barcode {barcode} does not belong to the tape in the drive, which shows {tape} ({shown}).",
        barcode=barcode,
        tape=described(str(medium["state"]), medium.get("label")),
        shown=shown,
    )
