"""What is in a drive, as the cartridge's chip or the mounted volume tells it."""

from __future__ import annotations

from tape import mam
from tape.drive import Medium, MediumState
from tape.ltfs_mounts import Mount
from tape.ltfs_volume import attribute, number
from tape.scsi import Look


def of_chip(look: Look) -> Medium:
    """What chip and drive say. Blank only if the chip knows of no program and no byte was ever written."""
    chip = look.attributes()
    protected = look.is_write_protected()
    medium_serial = chip.text(mam.MEDIUM_SERIAL)
    written = chip.coherency
    if written is None:
        state = MediumState.BLANK if _is_blank(chip) else MediumState.UNREADABLE
        return Medium(
            state,
            medium_serial=medium_serial,
            write_protected=protected,
            capacity=chip.size(mam.MAXIMUM),
        )
    data = look.attributes(partition=1)
    return Medium(
        MediumState.FORMATTED,
        label=chip.text(mam.LABEL),
        volume_uuid=written.volume_uuid,
        # mkltfs writes the volume's serial where a library would write the sticker's barcode.
        serial=chip.text(mam.BARCODE),
        medium_serial=medium_serial,
        write_protected=protected,
        empty=_is_empty(chip, data),
        capacity=data.size(mam.MAXIMUM),
        free=data.size(mam.REMAINING),
    )


def _is_blank(chip: mam.Attributes) -> bool:
    """A tape that another program has written is no blank one: it has its name on it, or less room."""
    names = (mam.LABEL, mam.APPLICATION, mam.VENDOR)
    room = chip.number(mam.REMAINING)
    return not any(map(chip.text, names)) and room is not None and room == chip.number(mam.MAXIMUM)


def _is_empty(chip: mam.Attributes, data: mam.Attributes) -> bool | None:
    """True: the only index ever written is the empty one of the format, and nothing was written since."""
    parts = (chip, data)
    if any(part.coherency and part.coherency.generation > 1 for part in parts):
        return False
    return True if all(part.coherency and part.is_current for part in parts) else None


def of_volume(mounted: Mount) -> Medium:
    """What a mounted volume says of itself."""

    def text(name: str) -> str | None:
        return attribute(mounted.point, name)

    def size(name: str) -> int | None:
        found = number(mounted.point, name)
        return None if found is None else found * mam.MIB

    return Medium(
        MediumState.FORMATTED,
        label=text("volumeName"),
        volume_uuid=text("volumeUUID"),
        serial=text("volumeSerial"),
        empty=not any(mounted.point.iterdir()),
        capacity=size("mediaDataPartitionTotalCapacity"),
        free=size("mediaDataPartitionAvailableSpace"),
    )
