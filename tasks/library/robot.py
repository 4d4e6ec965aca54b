"""The robot of a library, for one task at a time: locked over all hosts, each move entered before it is
made."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from celery_app import wiring
from db.libraries import inventory as rows
from db.libraries import robot as moves
from db.models import RobotMove, TapeLibrary
from db.runs import admission
from policy.errors import TapelineError
from policy.message import M, Message
from tape.changer import Inventory
from tape.errors import RobotBusy, SlotFull

Pause = Callable[[float], None]

TIMEOUT = 900.0
"""Seconds to wait for the robot while others use it: several moves of the slowest library."""
POLL_SECONDS = 0.5


@contextmanager
def held(
    name: str, *, asked_by: str, run_id: int | None = None, pause: Pause = time.sleep, limit: float = TIMEOUT
) -> Iterator[Robot]:
    """A library's robot, which nobody else uses meanwhile, on any host.

    ``pause``: waits so many seconds, and may raise what ends the wait. Raises BadConfiguration, RobotBusy,
    DatabaseUnavailable.
    """
    wiring.changer_settings(name)
    connection = wiring.database().stay()
    try:
        ends = time.monotonic() + limit
        while not _ask(connection, name):
            if time.monotonic() >= ends:
                raise RobotBusy(
                    M("The robot of library {library} works for somebody else.", library=name),
                    M("Who: tapeline library list --json. Try again when that is done."),
                )
            pause(POLL_SECONDS)
        yield Robot(name, connection, run_id=run_id, asked_by=asked_by)
    finally:
        connection.close()


def no_free_slot(name: str) -> SlotFull:
    """The error of a tape that cannot be put away."""
    return SlotFull(
        M("Every slot of library {library} is full: the tape in the drive cannot be put away.", library=name),
        M("Take a cartridge out: tapeline library export BARCODE"),
    )


def _ask(connection: Connection, name: str) -> bool:
    try:
        return moves.try_lock(connection, name)
    except SQLAlchemyError as error:
        raise _lost(name) from error


def _lost(name: str) -> RobotBusy:
    return RobotBusy(
        M("The robot of library {library} was lost with the connection to the database.", library=name),
        M("Nothing was moved; try again."),
    )


class Robot:
    """A library's robot while this process has it (``held``)."""

    def __init__(self, name: str, connection: Connection, *, run_id: int | None, asked_by: str) -> None:
        self.name = name
        self.settings = wiring.changer_settings(name)
        self._changer = wiring.changer(name)
        self._connection = connection
        self._run_id = run_id
        self._asked_by = asked_by

    def look(self, *, anew: bool = False) -> Inventory:
        """What is where, stored. If that may be old (a door was opened, a move failed or was cut off, the
        library was started again), or on request, the robot reads every barcode first. Raises
        ChangerError."""
        with wiring.database().transaction() as session:
            row = session.get(TapeLibrary, self.name)
            cut_off = moves.unfinished(session, self.name)
        is_old = anew or row is None or row.old is not None or cut_off is not None
        inventory = self._changer.inventory() if is_old else self._changer.status()
        if inventory.disturbed:
            # The changer reports it once: it is kept before the robot is asked again, which may fail.
            self._note_disturbed()
            is_old, inventory = True, self._changer.inventory()
        with wiring.database().transaction() as session:
            if is_old:
                rows.forget_what_was_seen(session, inventory.to_json())
            self._store(inventory)
        if cut_off is not None:
            self._end(cut_off.id, _after_the_cut(inventory, cut_off))
        return inventory

    def load(self, slot: int, drive: int, barcode: str | None) -> None:
        """Move a cartridge into a drive. Raises ChangerError, NotAllowed."""
        self._make("load", slot, drive, barcode, self._changer.load)

    def unload(self, drive: int, slot: int, barcode: str | None) -> None:
        """Eject the cartridge of a drive, and move it into a slot. Raises DriveError, ChangerError,
        NotAllowed."""

        def act(drive: int, slot: int) -> None:
            # Unmounted in any case: where that fails, the tape is in use and stays in.
            wiring.drive(self.settings.drives[drive]).eject(unload=self.settings.unload_first)
            self._changer.unload(drive, slot)

        self._make("unload", drive, slot, barcode, act)

    def move(self, source: int, target: int, barcode: str | None, *, out: bool = False) -> None:
        """Move a cartridge between slots. ``out``: to be taken out; no backup fetches it. Raises
        ChangerError."""
        self._make("export" if out else "move", source, target, barcode, self._changer.move)

    def _make(
        self, verb: str, source: int, target: int, barcode: str | None, act: Callable[[int, int], None]
    ) -> None:
        if not _ask(self._connection, self.name):
            raise _lost(self.name)
        served = {"load": target, "unload": source}.get(verb)
        with wiring.database().transaction() as session:
            if served is not None and self._run_id is None:
                # Who moves a drive's tape has the drive: until this move is closed no run is admitted there.
                admission.check_free(session, self.settings.drives[served])
            number = moves.begin(
                session,
                self.name,
                verb,
                source,
                target,
                barcode=barcode,
                run_id=self._run_id,
                asked_by=self._asked_by,
            )
        try:
            act(source, target)
        except TapelineError as error:
            if not isinstance(error, RobotBusy):
                self._distrust(error)
            self._end(number, error.message)
            raise
        try:
            inventory = self._changer.status()
            self._store(inventory)
            if inventory.disturbed:
                self._note_disturbed()
        except TapelineError as error:
            # It was moved; where everything is, the next question shows.
            self._distrust(error)
        self._end(number, None)

    def _note_disturbed(self) -> None:
        with wiring.database().transaction() as session:
            rows.is_old(session, self.name, rows.DISTURBED)

    def _distrust(self, error: TapelineError) -> None:
        with wiring.database().transaction() as session:
            rows.is_old(session, self.name, error.message)

    def _end(self, number: int, outcome: Message | None) -> None:
        with wiring.database().transaction() as session:
            moves.end(session, number, outcome)

    def _store(self, inventory: Inventory) -> None:
        with wiring.database().transaction() as session:
            rows.store(
                session,
                self.name,
                inventory.to_json(),
                driver=self.settings.driver,
                host=socket.gethostname(),
                drives=self.settings.drives,
                clean_with=self.settings.clean_with,
            )


def _after_the_cut(inventory: Inventory, move: RobotMove) -> Message:
    """Where the cartridge of a move that was cut off is now."""
    for bay in inventory.bays:
        if move.barcode is not None and bay.barcode == move.barcode:
            return M(
                "It was cut off; {barcode} is in drive {number} now.", barcode=move.barcode, number=bay.number
            )
    for slot in inventory.slots:
        if move.barcode is not None and slot.barcode == move.barcode:
            return M(
                "It was cut off; {barcode} is in slot {number} now.", barcode=move.barcode, number=slot.number
            )
    return M(
        "It was cut off; {barcode} is in no slot and no drive: look into the library.",
        barcode=move.barcode or "-",
    )
