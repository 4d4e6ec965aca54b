"""How much still fits on a volume, so that the last archive on it is sealed and not lost."""

from __future__ import annotations

from backup.format import tar
from backup.writing.archive import Archive
from tape.drive import Volume


class Room:
    """Asks the volume only if the bytes promised since the last time might have filled it."""

    def __init__(self, volume: Volume, reserve: int) -> None:
        self._volume = volume
        self._reserve = reserve
        self._left = 0

    def has(self, needed: int, archive: Archive | None) -> bool:
        """Whether so many bytes fit beside the reserve and what the current archive will still take."""
        beside = archive.beside if archive else len(tar.END)
        if needed + beside > self._left:
            # In this order: what reaches the volume in between is counted twice, and never not at all.
            on_the_way = archive.on_the_way if archive else 0
            self._left = self._volume.free() - self._reserve - on_the_way
        if needed + beside > self._left:
            return False
        self._left -= needed
        return True

    def left(self) -> int:
        """How many bytes fit on the volume beside the reserve, while no archive is open."""
        self._left = 0
        return self._volume.free() - self._reserve - len(tar.END)

    def ask_anew(self) -> None:
        """More was written than was promised: an index, documents."""
        self._left = 0

    def capacity(self) -> int:
        """How many bytes would fit on an empty cartridge of this kind, or its free space."""
        return self._volume.medium.capacity or self._volume.free()

    def could_ever(self, needed: int) -> bool:
        """Whether so much would fit on an empty cartridge of this kind."""
        capacity = self._volume.medium.capacity
        return capacity is None or needed <= capacity - self._reserve
