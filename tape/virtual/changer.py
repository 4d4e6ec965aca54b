"""The virtual changer: the robot of a virtual library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from policy.message import M, Message
from tape.changer import Inventory
from tape.errors import (
    ChangerError,
    DoorOpen,
    DriveBusy,
    DriveEmpty,
    DriveFull,
    MoveFailed,
    RobotBusy,
    SlotEmpty,
    SlotFull,
)
from tape.hostlock import HostLock
from tape.virtual import library
from tape.virtual.library import Refusal, RobotRefused

_READ_AGAIN = M("Read a new inventory: tapeline library inventory")
_ERRORS: Mapping[Refusal, tuple[type[ChangerError], Message, Message]] = {
    Refusal.BUSY: (RobotBusy, M("the robot is busy"), M("Wait a minute, then try again.")),
    Refusal.DOOR_OPEN: (DoorOpen, M("the door is open"), M("Close the door; then try again.")),
    Refusal.SLOT_EMPTY: (SlotEmpty, M("the slot is empty"), _READ_AGAIN),
    Refusal.SLOT_FULL: (SlotFull, M("the slot is full"), _READ_AGAIN),
    Refusal.DRIVE_EMPTY: (DriveEmpty, M("the drive is empty"), _READ_AGAIN),
    Refusal.DRIVE_FULL: (
        DriveFull,
        M("there is a cartridge in the drive"),
        M("Unload it first: tapeline library unload"),
    ),
    Refusal.FAILED: (
        MoveFailed,
        M("the robot did not finish the move"),
        M("Look into the library, then read a new inventory: tapeline library inventory"),
    ),
    Refusal.NO_SUCH: (
        ChangerError,
        M("it has no such slot or drive"),
        M("'tapeline library list' shows what it has."),
    ),
}


class VirtualChanger:
    """The robot of the virtual library in ``path``; its drives are virtual drives."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path

    def status(self) -> Inventory:
        """See tape.changer."""
        return self._ask("status")

    def inventory(self) -> Inventory:
        """See tape.changer."""
        return self._ask("inventory")

    def load(self, slot: int, drive: int) -> None:
        """See tape.changer."""
        self._move("load", ("slot", slot), ("drive", drive))

    def unload(self, drive: int, slot: int) -> None:
        """See tape.changer."""
        self._move("unload", ("drive", drive), ("slot", slot))

    def move(self, source: int, target: int) -> None:
        """See tape.changer."""
        self._move("move", ("slot", source), ("slot", target))

    def identities(self) -> dict[int, str]:
        """See tape.changer: a virtual drive is identified by its folder."""
        return {number: str(Path(path).resolve()) for number, path in library.read(self.path).drives.items()}

    def _ask(self, verb: str) -> Inventory:
        try:
            with self._robot():
                return library.status(self.path, verb)
        except RobotRefused as refused:
            raise self._error(refused) from refused

    def _move(self, verb: str, source: tuple[str, int], target: tuple[str, int]) -> None:
        try:
            with self._robot():
                library.move(self.path, verb, source, target)
        except RobotRefused as refused:
            raise self._error(refused) from refused

    def _robot(self) -> HostLock:
        return _VirtualRobotLock(self.path / "robot.lock")

    def _error(self, refused: RobotRefused) -> ChangerError:
        kind, why, remedy = _ERRORS[refused.why]
        return kind(M("Library {library}: {reason}.", library=self.name, reason=why.to_json()), remedy)


class _VirtualRobotLock(HostLock):
    def acquire(self) -> None:
        """Raises RobotRefused while another process uses the robot, ChangerError."""
        try:
            super().acquire()
        except DriveBusy as error:
            raise RobotRefused(Refusal.BUSY) from error
