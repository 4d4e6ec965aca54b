"""The library of a history: a virtual one of two drives whose robot is watched, and what hands do in it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from db.tapes import drives
from policy.errors import TapelineError
from tape.changer import Inventory
from tape.errors import DriveError
from tape.virtual import library
from tape.virtual import record as virtual_record
from tape.virtual import shelf as virtual_shelf
from tape.virtual.changer import VirtualChanger
from tape.virtual.library import InDrive, Library
from tests.histories.machinery.bus import Letter
from tests.histories.machinery.points import Points

NAME = "lib0"
SLOTS, MAIL = 8, 1
MAIL_SLOT = SLOTS + MAIL
KEPT_FREE = SLOTS
"""In the end the operator leaves this slot empty: what is in a drive has somewhere to go."""
FED = SLOTS - 2
"""Where the operator puts blank tapes in the end."""
BROUGHT = SLOTS - 1
"""Where the operator puts one of those that are outside in the end."""
NUMBERS = {"tape0": 0, "tape1": 1}
STEPS = frozenset(
    f"tapeline.{name}"
    for name in ("precheck", "format_tape", "run_backup", "restore", "verify", "import_tape")
)


@dataclass
class Hall:
    """Where the library stands, and what an observer there sees."""

    path: Path
    points: Points
    session: Callable[[], AbstractContextManager[Any]]
    """A transaction of the observer's own."""
    taken: Callable[[], Letter | None]
    """The message that is worked on."""
    violation: Callable[[str], None]
    two_hosts: bool = False
    """Each drive is at a host of its own: only the database keeps one from the other's robot."""
    chips_have_barcodes: bool = True
    """Whether a drive reads the sticker from the cartridge's chip, as few do."""
    counts: Counter[str] = field(default_factory=Counter)
    at_hand: str | None = None
    """The drive at whose host an operator gives a command."""
    verb: str | None = None
    """What the robot does now."""
    is_touched: bool = False
    """Something was moved since the robot was last asked."""
    was_told: bool = False
    """The robot has reported an opened door, and the barcodes were not read since."""
    disturbances: int = 0
    """How often somebody or something came between a run and its tape."""
    loads: Counter[tuple[int, str]] = field(default_factory=Counter)
    """How often each run has loaded each barcode."""

    def make(self, drives_: Mapping[str, Path]) -> None:
        library.make(
            self.path,
            {NUMBERS[name]: path for name, path in drives_.items()},
            slots=SLOTS,
            mail_slots=MAIL,
        )

    # What the robot does

    @contextmanager
    def robot(self, verb: str) -> Iterator[None]:
        """The robot works for somebody; nobody else may have it."""
        if self.verb is not None:
            self.violation(f"the robot was asked to {verb} while it was at {self.verb}")
        before, self.verb = self.verb, verb
        try:
            yield
        finally:
            self.verb = before

    def moves(self, verb: str, source: int, target: int) -> None:
        """Right before the robot moves: is the drive's tape the mover's own?"""
        self.counts[f"robot {verb}"] += 1
        self.is_touched = True
        number = {"load": target, "unload": source}.get(verb)
        if number is None:
            return
        self.check_mover(next(name for name, each in NUMBERS.items() if each == number), verb)
        run_id, slot = self._mover(), self.found().slot(source)
        if verb == "load" and run_id is not None and slot is not None and slot.barcode is not None:
            self.loads[run_id, slot.barcode] += 1
            if self.loads[run_id, slot.barcode] > 1 + self.disturbances:
                self.violation(f"run {run_id} loads {slot.barcode} again and again")

    def check_mover(self, drive: str, verb: str) -> None:
        """No cartridge leaves or enters a drive in which another run works."""
        with self.session() as session:
            running = drives.running(session, drive)
        if running is not None and running != self._mover():
            self.violation(f"{verb} at {drive} while run {running} has it, by {self.taken()}")

    def _mover(self) -> int | None:
        """The run whose step works now."""
        letter = self.taken() if self.points.process else None
        return int(json.loads(letter.body)[0][0]) if letter and letter.task in STEPS else None

    def found(self) -> Inventory:
        """What is where in truth, as the stickers tell."""
        return library.inventory_of(library.read(self.path))

    def sticker(self, cartridge: str) -> str | None:
        return library.read(self.path).stickers.get(cartridge, cartridge)

    # What hands do

    @contextmanager
    def hands(self) -> Iterator[Library | None]:
        """Somebody opens the door, reaches in, and closes it. A robot at work keeps it locked: None."""
        if self.verb is not None:
            yield None
            return
        self.is_touched = True
        self.disturbances += 1
        self.counts["hands in the library"] += 1
        with library.edit(self.path) as found:
            library._settle(found)
            found.disturbed = True
            yield found

    def put(self, slot: int, cartridge: str | None) -> None:
        """Put a cartridge that is in no drive into a slot; None: take out what is there."""
        with self.hands() as found:
            if found is None or cartridge in {bay.cartridge for bay in found.bays.values()} - {None}:
                return
            if cartridge is not None:
                library._take_everywhere(found, cartridge)
            if found.gripper is not None and found.gripper.cartridge == cartridge:
                found.gripper = None
            found.slots[slot] = cartridge

    def exchange(self, one: int, other: int) -> None:
        with self.hands() as found:
            if found is not None:
                found.slots[one], found.slots[other] = found.slots[other], found.slots[one]

    def into_drive(self, number: int, cartridge: str | None) -> None:
        """Put a cartridge into a drive by hand, or take out the one that is in. A mounted one stays."""
        with self.hands() as found:
            if found is None:
                return
            path = Path(found.drives[number])
            if cartridge in {bay.cartridge for bay in found.bays.values()} - {None}:
                return
            with suppress(DriveError):
                if cartridge is None:
                    virtual_shelf.remove(path)
                else:
                    virtual_shelf.insert(path, cartridge)
                    library._take_everywhere(found, cartridge)
                found.bays[number] = InDrive(cartridge)
                if found.gripper is not None and found.gripper.cartridge == cartridge:
                    found.gripper = None

    def door(self, *, is_open: bool) -> None:
        if self.verb is None:
            self.disturbances += 1
            library.set_door(self.path, is_open=is_open)

    def lie(self, cartridge: str, sticker: str | None) -> None:
        """Stick another barcode on a cartridge in a slot, or one that cannot be read."""
        with self.hands() as found:
            if found is not None and cartridge in found.slots.values():
                found.stickers[cartridge] = sticker

    def breaks(self, plan: list[dict[str, Any]]) -> None:
        self.disturbances += len(plan)
        self.counts["faults of the robot"] += len(plan)
        library.set_faults(self.path, plan)

    def outside(self) -> list[str]:
        """The cartridges that are nowhere in the library."""
        found = library.read(self.path)
        inside = {*found.slots.values(), *(bay.cartridge for bay in found.bays.values())}
        inside |= {found.gripper.cartridge} if found.gripper else set()
        return [each for each in virtual_shelf.barcodes(self.path) if each not in inside]

    def feed(self, number: int) -> None:
        """In the end: the door is shut, the robot is mended, a good blank tape and one of those that are
        outside come in, and a slot is left empty."""
        self.mend()
        name = f"FEED{number:03d}"
        virtual_shelf.new_cartridge(self.path, name, capacity=1 << 20)
        brought = next((each for each in self.outside() if not each.startswith("FEED")), None)
        self.put(KEPT_FREE, None)
        self.put(FED, name)
        if brought is not None:
            self.put(BROUGHT, brought)

    def mend(self) -> None:
        with library.edit(self.path) as found:
            found.door_open, found.faults, found.stickers = False, [], {}

    def is_cleaner(self, cartridge: str) -> bool:
        record = virtual_record.read(virtual_shelf.folder_of(self.path, cartridge))
        return record.cleaning is not None


class WatchedChanger(VirtualChanger):
    """The robot, with a point before, in and after each of its verbs."""

    def __init__(self, hall: Hall) -> None:
        super().__init__(NAME, hall.path)
        self._hall = hall

    def _ask(self, verb: str) -> Inventory:
        with self._hall.robot(verb):
            self._hall.points.at(f"robot {verb}")
            found = super()._ask(verb)
            self._hall.is_touched = False
            self._hall.was_told = found.disturbed or (self._hall.was_told and verb == "status")
        self._hall.points.at(f"answered {verb}")
        return found

    def _move(self, verb: str, source: tuple[str, int], target: tuple[str, int]) -> None:
        with self._hall.robot(verb):
            self._hall.points.at(f"robot {verb}")
            self._hall.moves(verb, source[1], target[1])
            super()._move(verb, source, target)
        self._hall.points.at(f"moved {verb}")

    def _robot(self) -> Any:
        # Two hosts have no lock file in common.
        return nullcontext() if self._hall.two_hosts else super()._robot()


def quietly(what: Callable[[], Any]) -> None:
    """An operator's command, which may be refused."""
    with suppress(TapelineError):
        what()
