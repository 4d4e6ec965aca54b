"""The inventory of a library as it was read last, and the rows of its cartridges."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.errors import NotFound
from db.models import TapeCartridge, TapeLibrary, now
from policy.message import M, Message
from policy.tapes.facts import CartridgeState
from policy.tapes.medium import MediumReport

DISTURBED = M("Its door was opened, or it was started again, since its barcodes were read.")

StoredInventory = Mapping[str, Any]
"""``tape.changer.Inventory`` as JSON: this package knows no drives."""


def store(
    session: Session,
    name: str,
    inventory: StoredInventory,
    *,
    driver: str,
    host: str,
    drives: Mapping[int, str],
    clean_with: str,
) -> TapeLibrary:
    """Store what the robot has shown. ``drives``: those of this host, by number; others stay."""
    row = session.get(TapeLibrary, name, with_for_update=True)
    mine = {str(number): drive for number, drive in drives.items()}
    others = {} if row is None else {n: d for n, d in row.drives.items() if d not in mine.values()}
    values = {
        "driver": driver,
        "host": host,
        "drives": {**others, **mine},
        "clean_with": clean_with,
        "inventory": dict(inventory),
        "read_at": now(),
        "old": None,
    }
    if row is None:
        row = TapeLibrary(name=name, **values)
        session.add(row)
    for field, value in values.items():
        setattr(row, field, value)
    session.flush()
    return row


def is_old(session: Session, name: str, why: Message) -> None:
    """The inventory is not believed any more, for this reason."""
    session.execute(update(TapeLibrary).where(TapeLibrary.name == name).values(old=why.to_json()))


def get(session: Session, name: str | None) -> TapeLibrary:
    """A library by its name; the only one, if none is named. Raises NotFound."""
    rows = [row for row in every(session) if name in {None, row.name}]
    if len(rows) == 1:
        return rows[0]
    if not rows:
        raise NotFound(
            M("There is no library '{name}'.", name=name or "-"),
            M("Configure it as [changers.NAME] on its host; there: tapeline library inventory"),
        )
    raise NotFound(
        M("There are several libraries: {names}.", names=", ".join(row.name for row in rows)),
        M("Name one of them."),
    )


def of_drive(session: Session, drive: str) -> TapeLibrary | None:
    """The library that feeds a drive, or None."""
    return next((row for row in every(session) if drive in row.drives.values()), None)


def every(session: Session) -> Sequence[TapeLibrary]:
    """All libraries, by name."""
    return session.scalars(select(TapeLibrary).order_by(TapeLibrary.name)).all()


def barcodes(inventory: StoredInventory) -> list[str]:
    """Every barcode, once for each cartridge that has it."""
    places = [*inventory["slots"], *inventory["bays"]]
    return [place["barcode"] for place in places if place["barcode"]]


def by_barcode(session: Session, wanted: Collection[str]) -> dict[str, TapeCartridge]:
    """The row of each barcode; none for a barcode that two rows have: neither can be believed."""
    rows = session.scalars(select(TapeCartridge).where(TapeCartridge.barcode.in_(wanted))).all()
    count = Counter(row.barcode for row in rows)
    return {row.barcode: row for row in rows if row.barcode and count[row.barcode] == 1}


def is_known(session: Session, barcode: str) -> bool:
    """Whether a row has this barcode."""
    return (
        session.scalar(select(TapeCartridge.id).where(TapeCartridge.barcode == barcode).limit(1)) is not None
    )


def disputed(session: Session, wanted: Collection[str]) -> frozenset[str]:
    """The barcodes that several rows have."""
    rows = session.scalars(select(TapeCartridge.barcode).where(TapeCartridge.barcode.in_(wanted))).all()
    return frozenset(barcode for barcode, count in Counter(rows).items() if barcode and count > 1)


@dataclass(slots=True)
class Supply:
    """What a library can bring: the slot of each known tape by its ``tape_id``, and the slots of blank
    ones by their pool. A tape that no drive has shown yet is in no pool: only the settings of its host could
    name one."""

    slots: dict[str, int]
    blanks: dict[str | None, list[int]]

    def take_blank(self, pool: str | None) -> int | None:
        """The slot of the next blank tape of a pool; it comes once."""
        left = self.blanks.get(pool)
        return left.pop(0) if left else None


def supply(session: Session, row: TapeLibrary) -> Supply:
    """The tapes in the slots of a library. A barcode that no drive has shown yet counts as a blank tape."""
    shown = Counter(barcodes(row.inventory))
    places = {
        slot["barcode"]: slot["number"]
        for slot in row.inventory["slots"]
        if slot["barcode"] and shown[slot["barcode"]] == 1 and not matches(slot["barcode"], row.clean_with)
    }
    known = by_barcode(session, list(places))
    disputes = disputed(session, list(places))
    blanks: dict[str | None, list[int]] = {}
    for barcode, number in places.items():
        tape = known.get(barcode)
        if barcode not in disputes and (tape is None or _is_blank(tape)):
            blanks.setdefault(tape.pool.name if tape and tape.pool else None, []).append(number)
    slots = {tape.tape_id: places[barcode] for barcode, tape in known.items()}
    return Supply(slots, blanks)


def _is_blank(tape: TapeCartridge) -> bool:
    is_shown = tape.seen is None or tape.seen["state"] == "blank"
    return tape.generation == 0 and tape.label is None and tape.state is CartridgeState.ACTIVE and is_shown


def cleaner(row: TapeLibrary, max_uses: int) -> tuple[str, int] | None:
    """The barcode and the slot of a cleaning cartridge that is not worn out; None: there is none."""
    for slot in row.inventory["slots"]:
        barcode = slot["barcode"]
        if barcode and matches(barcode, row.clean_with):
            known = row.cleaners.get(barcode, {})
            if not known.get("worn") and known.get("uses", 0) < max_uses:
                return barcode, slot["number"]
    return None


def has_cleaned(
    session: Session, name: str, barcode: str, *, is_expired: bool, max_uses: int
) -> tuple[int, bool]:
    """Count a use of a cleaning cartridge. ``is_expired``: the drive reports it as such. Returns how many
    uses there were, and whether it is worn out."""
    row = session.get_one(TapeLibrary, name, with_for_update=True)
    uses = row.cleaners.get(barcode, {}).get("uses", 0) + 1
    worn = is_expired or uses >= max_uses
    row.cleaners = {**row.cleaners, barcode: {"uses": uses, "worn": worn, "at": now().isoformat()}}
    return int(uses), worn


def matches(barcode: str, pattern: str) -> bool:
    """Whether a barcode matches a pattern with ``*``."""
    return fnmatch.fnmatchcase(barcode, pattern)


def saw(session: Session, cartridge: TapeCartridge, medium: MediumReport) -> None:
    """Remember what a drive showed of a cartridge, so that it is not fetched in vain again."""
    names = ("state", "label", "volume_uuid", "empty", "write_protected", "lock")
    cartridge.seen = {**{name: medium.get(name) for name in names}, "at": now().isoformat()}
    session.flush()


def forget_what_was_seen(session: Session, inventory: StoredInventory) -> None:
    """Somebody has had the cartridges in hand: switches may have been moved, tapes exchanged."""
    session.execute(
        update(TapeCartridge).where(TapeCartridge.barcode.in_(barcodes(inventory))).values(seen=None)
    )
