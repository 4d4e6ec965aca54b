"""A history with a library: its hall, its operators, and what holds there beside everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

from db.libraries import robot as moves
from db.models import ChainRun, RunEvent, TapeCartridge, TapeLibrary
from db.states import Kind, RunState
from policy.message import Message
from tape.virtual import library
from tape.virtual import shelf as virtual_shelf
from tasks.library import fetch, robot
from tasks.library.robot import Robot
from tasks.requests import library_move
from tasks.requests.library_move import Request
from tests import cartridges
from tests.histories.library.hall import NAME, NUMBERS, SLOTS, Hall, quietly
from tests.histories.library.stage import Place
from tests.histories.machinery import shelf
from tests.histories.machinery.clock import START
from tests.histories.world import DRIVES, TAPES_OFFERED, Parts, World

CLEANER = "CLNU01L1"
TAPES = (
    shelf.Cartridge("BLANK", capacity=shelf.CAPACITY),
    shelf.Cartridge("EXPIRED", shelf.LAST_YEAR, kept_for=shelf.GOOD[1].kept_for),
    shelf.Cartridge("SMALL", capacity=20_000),
    *shelf.OTHERS[1:3],
    shelf.Cartridge("LOCKED", write_protected=True),
    shelf.Cartridge("BLANK2", capacity=shelf.CAPACITY),
)
"""What stands in the first slots; the others are empty."""
NOT_COMPARED = "its barcodes are not compared"


class LibraryWorld(World):
    """A world whose two drives are fed by one library."""

    def __init__(self, parts: Parts, place: Place) -> None:
        super().__init__(parts)
        self.hall = place.hall = Hall(
            parts.folder / "drives" / NAME,
            parts.points,
            self.session,
            lambda: self.taken,
            self.ledger.violation,
            counts=parts.counts,
        )
        self._fed = 0
        self._deaths = self.counts["kills"] + self.counts["connections lost"]

    def set_up_library(
        self, *, two_hosts: bool = False, chips_have_barcodes: bool = True, tapes: Any = TAPES
    ) -> None:
        """An empty database, and the cartridges in the slots from the first on."""
        self.set_up({})
        self.hall.two_hosts, self.hall.chips_have_barcodes = two_hosts, chips_have_barcodes
        self.hall.make({name: self.drive_path(name) for name in DRIVES})
        with self.session() as session:
            for number, kind in enumerate(tapes, 1):
                self._remember(shelf.put(session, self.hall.path, kind, START))
                library.put(self.hall.path, number, kind.name)
        virtual_shelf.new_cartridge(self.hall.path, CLEANER, capacity=1, cleaning=3)
        library.put(self.hall.path, SLOTS, CLEANER)

    # Who uses the library

    @contextmanager
    def _at(self, drive: str) -> Iterator[None]:
        """At the host of a drive."""
        before, self.hall.at_hand = self.hall.at_hand, drive
        try:
            yield
        finally:
            self.hall.at_hand = before

    def by_command(self, drive: str, act: Callable[[Robot], Any]) -> None:
        """``tapeline library …`` on a drive's host; it may be refused."""
        self.counts["commands at the library"] += 1
        self.hall.disturbances += 1

        def make() -> None:
            with robot.held(NAME, asked_by="operator", limit=0) as arm:
                act(arm)

        with self._at(drive):
            quietly(make)

    def unload(self, drive: str) -> None:
        """``tapeline library unload``."""

        def act(arm: Robot) -> None:
            number = NUMBERS[drive]
            bay = (found := arm.look()).bay(number)
            slot = found.free_slot(bay.home if bay else None)
            if bay is not None and bay.full and slot is not None:
                arm.unload(number, slot, bay.barcode)

        self.by_command(drive, act)

    def load(self, drive: str, slot: int) -> None:
        """``tapeline library load``."""

        def act(arm: Robot) -> None:
            place = arm.look().slot(slot)
            if place is not None and place.full:
                arm.load(slot, NUMBERS[drive], place.barcode)

        self.by_command(drive, act)

    def by_button(self, verb: str, place: int, target: int, drive: str) -> None:
        """A button of the page Library: a message to a drive's worker."""
        self.hall.disturbances += 1
        found = self.hall.found()
        where: Any = found.bay(place) if verb == "unload" else found.slot(place)
        barcode = where.barcode if where is not None and verb in {"load", "unload", "export"} else None
        asked = Request(NAME, verb, place, target, barcode, "operator")
        quietly(lambda: library_move.send(f"tape.{drive}" if drive != "tape0" else "tape", asked))

    def _format_begins(self, folder: Path, label: str) -> None:
        super()._format_begins(folder, label)
        if self.hall.is_cleaner(folder.name):
            self.ledger.violation(f"the cleaning cartridge {folder.name} is formatted")
        sticker = self.hall.sticker(folder.name)
        if sticker is not None and not self._is_not_compared():
            self._check_agreement(sticker, folder)

    def _is_not_compared(self) -> bool:
        """Whether the run that works reported that the library does not answer."""
        run_id = self.hall._mover()
        with self.session() as session:
            told = session.scalars(select(RunEvent).where(RunEvent.run_id == run_id)).all()
            return any(NOT_COMPARED in str(Message.from_json(each.message)) for each in told)

    def _check_agreement(self, sticker: str, folder: Path) -> None:
        """Barcode, chip and row describe one cartridge."""
        serial = cartridges.medium_serial(folder)
        if self.hall.chips_have_barcodes and sticker != folder.name:
            self.ledger.violation(f"{folder.name} is formatted with the barcode {sticker}")
        with self.session() as session:
            rows = list(session.scalars(select(TapeCartridge)))
        promised = [row for row in rows if row.barcode == sticker]
        mine = [row for row in rows if row.medium_serial == serial]
        wrong = [row for row in promised if row.medium_serial not in {None, serial}]
        wrong += [row for row in mine if row.barcode not in {None, sticker}]
        for row in wrong:
            self.ledger.violation(
                f"{folder.name} ({serial}) with the barcode {sticker} is formatted; row {row.tape_id} has"
                f" {row.barcode}, {row.medium_serial}"
            )

    # What happens beside it

    def insert_next(self, drive: str) -> None:
        """Somebody opens the door and exchanges the cartridge of a drive, if the drive lets go of it."""
        full = [slot.number for slot in self.hall.found().slots if slot.full]
        inside = library.read(self.hall.path).slots
        number = full[self.hall.disturbances % len(full)] if full else None
        self.hall.into_drive(NUMBERS[drive], inside[number] if number else None)

    # The end

    def settle(self) -> None:
        self._fed = 0
        self.hall.mend()
        super().settle()
        self.check_library_at_rest()

    def _offer_tapes(self) -> None:
        """Where a run waits, an operator puts blank tapes into the library; no hand touches a drive."""
        with self.session() as session:
            waits = session.scalar(select(ChainRun.id).where(ChainRun.state == RunState.WAITING_FOR_TAPE))
        self.hall.mend()
        if waits is None:
            return
        self._fed += 1
        self.hall.feed(self._fed)
        if self._fed == TAPES_OFFERED:
            self._check_fed()

    def _check_fed(self) -> None:
        """A backup that a blank tape would do for does not wait beside one."""
        waiting = (ChainRun.state == RunState.WAITING_FOR_TAPE) & (ChainRun.kind == Kind.BACKUP)
        with self.session() as session:
            for run in session.scalars(select(ChainRun).where(waiting)):
                if fetch._wanted(session, run, NAME) is not None:
                    reason = Message.from_json(run.reason) if run.reason else ""
                    self.ledger.violation(
                        f"run {run.id} waits although it could be fed, with {run.fetched}: {reason}"
                    )

    def check_library(self) -> None:
        """None is lost from the inventory: it is as things are, or known to be old."""
        truth = self.hall.found()
        cut_off = None
        with self.session() as session:
            row = session.get(TapeLibrary, NAME)
            cut_off = moves.unfinished(session, NAME)
            is_believed = row is not None and row.old is None and cut_off is None
            if is_believed and self.hall.was_told and not self.deaths():
                self.ledger.violation("the robot has reported an open door, and its inventory is believed")
            if is_believed and not self.hall.is_touched and row.inventory != _plain(truth):
                self.ledger.violation(f"the inventory is {row.inventory}, and there is {_plain(truth)}")

    def deaths(self) -> int:
        """Whoever dies with the answer in hand takes it along."""
        return self.counts["kills"] + self.counts["connections lost"] - self._deaths

    def check_library_at_rest(self) -> None:
        """After a look of the robot every cartridge is in the inventory, and no move is open."""
        inside = library.read(self.hall.path)
        self.by_command("tape0", lambda arm: arm.look())
        self.hall.is_touched = False
        with self.session() as session:
            row = session.get(TapeLibrary, NAME)
            if row is None or row.old is not None or moves.unfinished(session, NAME) is not None:
                self.ledger.violation(f"the inventory stays old: {row and row.old}")
        self.check_library()
        here = [*inside.slots.values(), *(bay.cartridge for bay in inside.bays.values())]
        here += [inside.gripper.cartridge] if inside.gripper else []
        held = [each for each in here if each is not None]
        shown = self.hall.found()
        full = sum(place.full for place in (*shown.slots, *shown.bays))
        if len(set(held)) != len(held) or full != len(held):
            self.ledger.violation(f"of {held} only {full} are in the inventory")


def _plain(found: Any) -> dict[str, Any]:
    told: dict[str, Any] = found.to_json()
    return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}
