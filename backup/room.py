"""How much still fits on a volume, so that the last archive on it is sealed and not lost."""

from __future__ import annotations

from tape.drive import Volume


class Room:
    """Asks the volume only when what was handed to it since might have filled it."""

    def __init__(self, volume: Volume, reserve: int) -> None:
        self._volume = volume
        self._reserve = reserve
        self._left = 0

    def has(self, needed: int, pending: int) -> bool:
        """Whether so many bytes fit, with the reserve left over.

        ``pending``: bytes that are on their way to the volume, or to be written beside them.
        """
        if needed + pending > self._left:
            self._left = self._volume.free() - self._reserve
        if needed + pending > self._left:
            return False
        self._left -= needed
        return True

    def could_ever(self, needed: int) -> bool:
        """Whether so much would fit on a cartridge like this one if it were empty."""
        capacity = self._volume.medium.capacity
        return capacity is None or needed <= capacity - self._reserve
