"""A changer through mtx. One program at a time: it keeps the robot locked on this host even if we are
killed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from policy.message import M
from tape.changer import Inventory
from tape.errors import CommandTimeout, DriveBusy, DriveEmpty, MoveFailed, RobotBusy
from tape.hostlock import HostLock
from tape.mtx import identities, output
from tape.programs import command
from tape.programs.command import Completed


@dataclass(frozen=True, slots=True)
class MtxSetup:
    """How a changer is set up on this host. Limits in seconds."""

    device: str
    """``/dev/sgN`` of the changer, not of a drive."""
    folder: Path
    """The changer's folder on this host: its lock."""
    programs: Mapping[str, str] = field(default_factory=dict)
    """The path of each program that is not on the PATH."""
    mail_slots: Collection[int] = ()
    status_limit: float = 60
    move_limit: float = 300
    inventory_limit: float = 1800


class MtxChanger:
    """A library's robot behind ``device``."""

    def __init__(self, name: str, setup: MtxSetup) -> None:
        self.name = name
        self._setup = setup
        self._is_disturbed = False
        """A Unit Attention came since the last status, which the next one has to report."""

    def status(self) -> Inventory:
        """See tape.changer."""
        with self._lock() as lock:
            inventory = self._status(lock)
        disturbed, self._is_disturbed = self._is_disturbed, False
        return replace(inventory, disturbed=disturbed)

    def load(self, slot: int, drive: int) -> None:
        """See tape.changer."""
        self._move("load", slot, drive)

    def unload(self, drive: int, slot: int) -> None:
        """See tape.changer. The slot is always named: mtx would choose another one if the first is full."""
        with self._lock() as lock:
            bay = self._status(lock).bay(drive)
            # mtx itself would take an empty drive's cartridge "from" an unknown slot.
            if bay is not None and not bay.full:
                raise DriveEmpty(
                    M("Drive {drive} of the library is empty.", drive=drive),
                    M("Read a new inventory: tapeline library inventory"),
                )
            self._run(lock, "unload", slot, drive)

    def move(self, source: int, target: int) -> None:
        """See tape.changer."""
        self._move("transfer", source, target)

    def inventory(self) -> Inventory:
        """See tape.changer."""
        with self._lock() as lock:
            done = self._ask(lock, ["inventory"], self._setup.inventory_limit)
            if done.return_code:
                raise output.failure(done, self._setup.device, moving=False)
            # The barcodes were read after all that came before.
            self._is_disturbed = False
            return self._status(lock)

    def identities(self) -> dict[int, str]:
        """See tape.changer; asked with sg_raw, since mtx does not print them."""
        with self._lock() as lock:
            answer = self._setup.folder / "drives.bin"
            answer.unlink(missing_ok=True)
            argv = [self._program("sg_raw"), "-r", str(identities.ALLOCATED), "-o", str(answer)]
            command.run(
                [*argv, self._setup.device, *identities.ASK],
                limit=self._setup.status_limit,
                inherit=[lock.descriptor],
            )
            # A changer that does not know the question answers nothing.
            return identities.parse(answer.read_bytes()) if answer.exists() else {}

    def _program(self, name: str) -> str:
        return self._setup.programs.get(name, name)

    def _status(self, lock: HostLock) -> Inventory:
        done = self._ask(lock, ["status"], self._setup.status_limit)
        inventory = None if done.return_code else output.parse(done.output, self._setup.mail_slots)
        if inventory is None:
            raise output.failure(done, self._setup.device, moving=False)
        return inventory

    def _move(self, verb: str, *numbers: int) -> None:
        with self._lock() as lock:
            self._run(lock, verb, *numbers)

    def _run(self, lock: HostLock, verb: str, *numbers: int) -> None:
        try:
            done = self._ask(lock, [verb, *map(str, numbers)], self._setup.move_limit)
        except CommandTimeout as error:
            raise MoveFailed(error.message, output.LOOK_INSIDE) from error
        if done.return_code or re.search(r"\bFailed\b", done.output):
            raise output.failure(done, self._setup.device, moving=True)

    def _ask(self, lock: HostLock, words: Sequence[str], limit: float) -> Completed:
        """Run mtx. A Unit Attention comes instead of the answer, and nothing was done: it is asked again
        once. The next status reports that there was one."""
        argv = [self._program("mtx"), "-f", self._setup.device, *words]
        done = command.run(argv, limit=limit, inherit=[lock.descriptor])
        sense = output.sense(done.output) if done.return_code else None
        if sense is None or sense.key != output.UNIT_ATTENTION:
            return done
        self._is_disturbed = True
        return command.run(argv, limit=limit, inherit=[lock.descriptor])

    def _lock(self) -> _MtxRobotLock:
        self._setup.folder.mkdir(parents=True, exist_ok=True)
        return _MtxRobotLock(self.name, self._setup.folder / "robot.lock")


class _MtxRobotLock(HostLock):
    """The robot's lock on this host. A program that outlived its worker still has it."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(path)
        self._name = name

    def acquire(self) -> None:
        """Raises RobotBusy, ChangerError."""
        try:
            super().acquire()
        except DriveBusy as error:
            raise RobotBusy(
                M("The robot of library {library} works for another process.", library=self._name),
                M("Wait until it ends: a program that it started may still move a cartridge."),
            ) from error
