"""How much still fits on a volume, so that the last archive on it is sealed and not lost."""

from __future__ import annotations

from backup.format import tar
from backup.writing.archive import Archive
from tape.drive import Volume


class Room:
    """Asks the volume only when what was promised of it since might have filled it."""

    def __init__(self, volume: Volume, reserve: int) -> None:
        self._volume = volume
        self._reserve = reserve
        self._left = 0

    def has(self, needed: int, archive: Archive | None) -> bool:
        """Whether so many bytes fit beside what the archive under way will still take and the reserve."""
        beside = archive.beside if archive else len(tar.END)
        if needed + beside > self._left:
            # Asked in this order: what reaches the volume in between is counted twice, and never not at all.
            on_the_way = archive.on_the_way if archive else 0
            self._left = self._volume.free() - self._reserve - on_the_way
        if needed + beside > self._left:
            return False
        self._left -= needed
        return True

    def left(self) -> int:
        """How many bytes fit on the volume beside the reserve, when no archive is under way."""
        self._left = 0
        return self._volume.free() - self._reserve - len(tar.END)

    def ask_anew(self) -> None:
        """More was written than what was asked for: an index, documents."""
        self._left = 0

    def capacity(self) -> int:
        """How many bytes would fit on a cartridge like this one if it were empty, or what is free of it."""
        return self._volume.medium.capacity or self._volume.free()

    def could_ever(self, needed: int) -> bool:
        """Whether so much would fit on a cartridge like this one if it were empty."""
        capacity = self._volume.medium.capacity
        return capacity is None or needed <= capacity - self._reserve
