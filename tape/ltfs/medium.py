"""What is in a drive, according to the cartridge's chip or the mounted volume."""

from __future__ import annotations

from pathlib import Path

from tape.drive import Medium, MediumState, WriteLock
from tape.ltfs import mam
from tape.ltfs.mounts import LtfsMount
from tape.ltfs.scsi import Inspection
from tape.ltfs.volume import attribute, number

# On the chip (attribute 0x1623) a number; on a mounted volume (volumeLockState) bits.
CHIP_WRITE_ERROR = frozenset({2, 4, 5, 6})
VOLUME_LOCKED = 0x1 | 0x2
VOLUME_PROTECTED = 0x4 | 0x8 | 0x10
"""The switch; and media that the drive itself refuses to write, for ever or until the next load."""
VOLUME_WRITE_ERROR = 0x20 | 0x40 | 0x80


def of_chip(look: Inspection, drive: str) -> Medium:
    """The report of chip and drive. Blank only if the chip proves that no byte was ever written."""
    chip = look.attributes()
    protected = look.is_write_protected()
    medium_serial = chip.text(mam.MEDIUM_SERIAL)
    written = chip.coherency
    if written is None:
        return Medium(
            MediumState.BLANK if _is_new(chip) else MediumState.FOREIGN,
            medium_serial=medium_serial,
            write_protected=protected,
            drive=drive,
            capacity=chip.size(mam.MAXIMUM),
        )
    data = look.attributes(partition=1)
    return Medium(
        MediumState.FORMATTED,
        label=chip.text(mam.LABEL),
        volume_uuid=written.volume_uuid,
        # mkltfs writes the volume's serial to the place where a library would write the sticker's barcode.
        serial=chip.text(mam.BARCODE),
        medium_serial=medium_serial,
        write_protected=protected,
        lock=_lock_of_chip(chip.lock),
        empty=_is_empty(chip, data),
        capacity=data.size(mam.MAXIMUM),
        free=data.size(mam.REMAINING),
    )


def _is_new(chip: mam.Attributes) -> bool:
    """No program has left its name, no space is used, and the counters of bytes and changes are zero.

    Space and bytes are counted in MiB: only the change reference shows a small archive of another program.
    """
    names = (mam.LABEL, mam.APPLICATION, mam.VENDOR)
    room = chip.number(mam.REMAINING)
    return (
        not any(map(chip.text, names))
        and room is not None
        and room == chip.number(mam.MAXIMUM)
        and chip.number(mam.WRITTEN) in {None, 0}
        and chip.change in {None, 0}
    )


def _lock_of_chip(state: int) -> WriteLock:
    if state == 0:
        return WriteLock.NONE
    return WriteLock.WRITE_ERROR if state in CHIP_WRITE_ERROR else WriteLock.ADVISORY


def _is_empty(chip: mam.Attributes, data: mam.Attributes) -> bool | None:
    """True: the only index ever written is the empty one of the format, and nothing was written since."""
    parts = (chip, data)
    if any(part.coherency and part.coherency.generation > 1 for part in parts):
        return False
    return True if all(part.coherency and part.is_current for part in parts) else None


def of_volume(mounted: LtfsMount) -> Medium:
    """What a mounted volume reports."""

    def text(name: str) -> str | None:
        return attribute(mounted.point, name)

    def size(name: str) -> int | None:
        mebibytes = number(mounted.point, name)
        return None if mebibytes is None else mebibytes * mam.MIB

    state = number(mounted.point, "volumeLockState") or 0
    return Medium(
        MediumState.FORMATTED,
        label=text("volumeName"),
        volume_uuid=text("volumeUUID"),
        serial=text("volumeSerial"),
        write_protected=bool(state & VOLUME_PROTECTED),
        lock=_lock_of_volume(state),
        empty=not any(mounted.point.iterdir()),
        capacity=size("mediaDataPartitionTotalCapacity"),
        free=size("mediaDataPartitionAvailableSpace"),
    )


def lock_of(root: Path) -> WriteLock:
    """Why a mounted volume is locked. Raises OSError."""
    return _lock_of_volume(number(root, "volumeLockState") or 0)


def _lock_of_volume(state: int) -> WriteLock:
    if state & VOLUME_WRITE_ERROR:
        return WriteLock.WRITE_ERROR
    return WriteLock.ADVISORY if state & VOLUME_LOCKED else WriteLock.NONE
