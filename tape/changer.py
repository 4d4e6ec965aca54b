"""The contract of a media changer, beside the drive's: a robot that moves cartridges and decides nothing.

The numbers are the changer's own: slots count from 1, drives from 0. A slot's number is no identity: an
operator opens the magazine and exchanges cartridges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one cartridge."""

    number: int
    full: bool
    barcode: str | None = None
    """None: it is empty, or its cartridge has no readable barcode (none, upside down)."""
    is_mail: bool = False
    """A mail slot (import/export): an operator reaches it without opening the library."""


@dataclass(frozen=True, slots=True)
class Bay:
    """A drive as the robot sees it."""

    number: int
    full: bool
    barcode: str | None = None
    home: int | None = None
    """The slot that its cartridge came from; None: the drive is empty, or the changer does not know."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is where, as the changer reports it. It is old as soon as somebody has opened the door."""

    slots: tuple[Slot, ...]
    bays: tuple[Bay, ...]
    disturbed: bool = False
    """The door was opened or the library started again since the last question: what it knows of its slots
    may be old until ``Changer.inventory``."""

    def slot(self, number: int | None) -> Slot | None:
        """The slot of this number, or None if there is none."""
        return next((slot for slot in self.slots if slot.number == number), None)

    def bay(self, number: int) -> Bay | None:
        """The drive of this number, or None if there is none."""
        return next((bay for bay in self.bays if bay.number == number), None)

    @property
    def barcodes(self) -> list[str]:
        """Every barcode, once for each cartridge that has it."""
        barcodes = [slot.barcode for slot in self.slots] + [bay.barcode for bay in self.bays]
        return [barcode for barcode in barcodes if barcode]

    @property
    def duplicates(self) -> frozenset[str]:
        """The barcodes that several cartridges have: none of them can be believed."""
        return frozenset(barcode for barcode, count in Counter(self.barcodes).items() if count > 1)

    def free_slot(self, wanted: int | None) -> int | None:
        """An empty slot for a cartridge: ``wanted``, else the first empty one that is no mail slot; None: all
        are full."""
        empty = [slot.number for slot in self.slots if not slot.full and not slot.is_mail]
        return wanted if wanted in empty else next(iter(empty), None)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Inventory:
        """The inverse of ``to_json``."""
        slots, bays = data["slots"], data["bays"]
        return cls(
            tuple(Slot(**slot) for slot in slots),
            tuple(Bay(**bay) for bay in bays),
            disturbed=data["disturbed"],
        )


class Changer(Protocol):
    """A library's robot. A driver never retries a move and never guesses: the caller reads a new inventory.

    Every verb may raise ChangerError: RobotBusy and DoorOpen, if nothing was moved; MoveFailed, if that is
    not certain. A program that is missing raises CommandNotFound.
    """

    name: str

    def status(self) -> Inventory:
        """What the changer knows of its slots and drives; nothing moves. Raises ChangerError."""

    def load(self, slot: int, drive: int) -> None:
        """Move a cartridge from a slot into a drive. Raises SlotEmpty, DriveFull, MoveFailed."""

    def unload(self, drive: int, slot: int) -> None:
        """Move the cartridge of a drive into a slot. Raises DriveEmpty, SlotFull, MoveFailed.

        The caller has ejected it from the drive, if the drive does not do that itself.
        """

    def move(self, source: int, target: int) -> None:
        """Move a cartridge from one slot into another. Raises SlotEmpty, SlotFull, MoveFailed."""

    def inventory(self) -> Inventory:
        """Let the robot read every barcode again, for minutes; then as ``status``."""

    def identities(self) -> dict[int, str]:
        """What the changer tells of each drive that identifies it, by the drive's number: a text with its
        serial number. Nothing for a drive of which it tells nothing."""
