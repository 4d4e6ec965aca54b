"""The virtual drive: a folder has the cartridges, plain folders too, and records which one is inserted."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from policy.message import M, Message
from tape.drive import Health, Medium, MediumState, ProgramRun, Volume
from tape.errors import DriveError, LabelReadTimeout, NoMedium, NotMountable, WriteProtected
from tape.hostlock import HostLock
from tape.programs import command
from tape.virtual import (
    cartridge as virtual_cartridge,
)
from tape.virtual import (
    faults,
    shelf,
)
from tape.virtual import (
    record as virtual_record,
)
from tape.virtual.faults import Fault
from tape.virtual.record import DamagedRecord, Record, VolumeRecord
from tape.virtual.shelf import (
    insert,
    new_cartridge,
    remove,
    set_faults,
    set_write_protected,
)
from tape.virtual.volume import VirtualVolume, read_only_for_ever
from tape.volume import locked_by_a_program, no_deep_recovery

__all__ = [
    "VirtualDrive",
    "insert",
    "new_cartridge",
    "remove",
    "set_faults",
    "set_write_protected",
]

PACKAGE = Path(__file__).resolve().parents[2]


class VirtualDrive:
    """A drive for experiments, and for machines without one. ``label_limit``, ``format_limit``: seconds."""

    def __init__(
        self, name: str, path: Path, *, label_limit: float = 10.0, format_limit: float = 9000.0
    ) -> None:
        self.name = name
        self.path = path
        self._label_limit = label_limit
        self._format_limit = format_limit

    def look(self) -> Medium:
        """What is in the drive now. Raises LabelReadTimeout, DriveBusy while a format is running."""
        barcode = shelf.inserted(self.path)
        if barcode is None:
            return Medium(MediumState.NO_MEDIUM)
        fault = self._take_fault(barcode, "look")
        self._wait_for_label(fault)
        if fault and fault.error == "unreadable":
            return Medium(MediumState.UNREADABLE, barcode=barcode)
        medium = virtual_cartridge.medium(self._folder(barcode))
        if medium.state is MediumState.UNREADABLE:
            # A running format leaves the cartridge unreadable meanwhile: busy, not damaged.
            with self._lock():
                medium = virtual_cartridge.medium(self._folder(barcode))
        return replace(medium, drive=self.name) if medium.state is MediumState.FOREIGN else medium

    def format(
        self,
        label: str,
        *,
        only: Medium | None = None,
        serial: str | None = None,
        on_output: Callable[[str], None] | None = None,
        inherit: Sequence[int] = (),
    ) -> ProgramRun:
        """Run the format program once; see tape.drive. It keeps the drive locked even if this process is
        killed."""
        with self._holding() as (lock, barcode):
            medium = virtual_cartridge.medium(self._folder(barcode))
            if only:
                only.check_same(medium)
            _check_switch(medium)
            argv = _format_command(self._folder(barcode), label, serial, medium)
            done = command.run(
                argv,
                limit=self._format_limit,
                env={"PYTHONPATH": str(PACKAGE)},
                on_output=on_output,
                inherit=[*inherit, lock.descriptor],
            )
        return ProgramRun(done.argv, done.return_code, done.seconds, done.output)

    def relabel(self, label: str) -> None:
        """Change the label and keep the data; see tape.drive. Raises TapeWriteError if a write had failed."""
        with self._holding() as (_, barcode):
            _check_switch(self._readable(barcode))
            with shelf.edit(self.path, barcode) as record:
                _writable_volume(record).label = label

    @contextmanager
    def mount(self, *, read_only: bool = False) -> Iterator[Volume]:
        """Mount the volume; see tape.drive. Raises DriveBusy if it is mounted already."""
        with self._holding() as (_, barcode):
            volume = self._mounted(barcode, read_only=read_only)
            failed = True
            try:
                yield volume
                failed = False
            finally:
                volume.unmount(failed=failed)

    def load(self, cartridge: str | None = None) -> Medium:
        """Insert a cartridge, or keep the present one, and inspect it. Raises NoMedium.

        ``cartridge``: its barcode, label or serial; if several have it, the inserted one stays.
        """
        if cartridge is None:
            self._present()
            return self.look()
        inside = self._inside()
        barcode = shelf.named(self.path, cartridge, inside)
        if barcode != inside:
            insert(self.path, barcode)
        return self.look()

    def eject(self, *, unload: bool = True) -> None:
        """Eject the cartridge; an empty drive stays empty. Raises DriveBusy while it is mounted."""
        if unload:
            remove(self.path)
        elif self.path.exists():
            with self._lock():
                pass

    def health(self) -> Health:
        """The counters of the cartridge; nothing is known of an empty drive or a damaged cartridge."""
        barcode = shelf.inserted(self.path)
        try:
            record = virtual_record.read(self._folder(barcode)) if barcode else None
        except DamagedRecord:
            record = None
        health = _health(record) if record else Health()
        return replace(health, tape_alerts=(*health.tape_alerts, *self._cleaning(record)))

    def _cleaning(self, record: Record | None) -> list[str]:
        if record is not None and record.cleaning == 0:
            return ["Expired cleaning media"]
        return ["Cleaning required"] if (self.path / shelf.DIRTY).exists() else []

    def check(
        self,
        *,
        deep: bool = False,
        on_output: Callable[[str], None] | None = None,  # noqa: ARG002 - nothing is printed
    ) -> ProgramRun:
        """Remove what a crash left unsealed; see tape.drive."""
        if deep:
            raise no_deep_recovery(self.name)
        started = time.monotonic()
        with self._holding() as (_, barcode):
            self._readable(barcode)
            self._recovered(barcode)
        return ProgramRun(("check", barcode), 0, time.monotonic() - started, "")

    def _mounted(self, barcode: str, *, read_only: bool) -> VirtualVolume:
        fault = self._take_fault(barcode, "mount")
        faults.wait(fault)
        if fault and fault.error == "unreadable":
            raise _not_mountable(M("Cartridge {barcode} cannot be read.", barcode=barcode))
        medium = self._readable(barcode)
        if not read_only:
            _check_switch(medium)
        record = self._recovered(barcode)
        if not read_only:
            _writable_volume(record)
        return VirtualVolume(self._folder(barcode), record, self._readable(barcode), read_only=read_only)

    def _recovered(self, barcode: str) -> Record:
        try:
            return virtual_cartridge.recover(self._folder(barcode))
        except (DamagedRecord, OSError) as error:
            raise _not_mountable(
                M("Cartridge {barcode} cannot be used: {reason}.", barcode=barcode, reason=str(error))
            ) from error

    def _readable(self, barcode: str) -> Medium:
        """The medium, if it has a sound volume. Raises NotMountable with the reason."""
        folder = self._folder(barcode)
        medium = virtual_cartridge.medium(folder)
        if medium.state is MediumState.BLANK:
            raise _not_mountable(M("Cartridge {barcode} is blank.", barcode=barcode))
        if medium.state is MediumState.FOREIGN:
            raise _not_mountable(M("Cartridge {barcode} was written by another program.", barcode=barcode))
        if medium.state is MediumState.UNREADABLE:
            raise _not_mountable(_why_unreadable(folder))
        return medium

    def _present(self) -> str:
        barcode = shelf.inserted(self.path)
        if barcode is None:
            raise NoMedium(
                M("There is no cartridge in drive {drive}.", drive=self.name), M("Put a cartridge in.")
            )
        return barcode

    def _inside(self) -> str | None:
        try:
            return shelf.inserted(self.path)
        except DriveError:
            # Inserting it again is the remedy if a drive does not know what is in it.
            return None

    def _folder(self, barcode: str) -> Path:
        return shelf.folder_of(self.path, barcode)

    def _lock(self) -> HostLock:
        return HostLock(self.path / shelf.MOUNT_LOCK)

    @contextmanager
    def _holding(self) -> Iterator[tuple[HostLock, str]]:
        """Lock the drive, with the cartridge that is in it. Raises NoMedium, DriveBusy."""
        self._present()
        with self._lock() as lock:
            yield lock, self._present()

    def _take_fault(self, barcode: str, at: str) -> Fault | None:
        try:
            planned = virtual_record.read(self._folder(barcode)).faults
        except DamagedRecord:
            return None
        if not any(fault.at == at for fault in planned):
            return None
        with shelf.edit(self.path, barcode) as record:
            return faults.take(record.faults, at)

    def _wait_for_label(self, fault: Fault | None) -> None:
        seconds = (fault.seconds if fault else None) or 0.0
        time.sleep(min(seconds, self._label_limit))
        if seconds >= self._label_limit:
            raise LabelReadTimeout(
                M(
                    "The label in drive {drive} could not be read within {limit:g} s.",
                    drive=self.name,
                    limit=self._label_limit,
                ),
                M("See that the drive is ready, then try again."),
            )


def _format_command(folder: Path, label: str, serial: str | None, medium: Medium) -> list[str]:
    options = ["-s", serial] if serial is not None else []
    if medium.state not in {MediumState.BLANK, MediumState.FOREIGN}:
        options.append("-f")
    # Without the site packages it starts at once; -P keeps the working folder out of its imports.
    python = [sys.executable, "-P", "-S", "-s", "-m", "tape.virtual.format_program"]
    return [*python, "-d", str(folder), f"-n{label}", *options]


def _check_switch(medium: Medium) -> None:
    if medium.write_protected:
        raise WriteProtected(
            M("Cartridge {barcode} is write-protected.", barcode=medium.barcode),
            M("Move its switch to writable, or put another cartridge in."),
        )


def _writable_volume(record: Record) -> VolumeRecord:
    if record.volume is None:
        raise _not_mountable(M("Cartridge {barcode} is blank.", barcode=record.barcode))
    if record.volume.read_only:
        raise read_only_for_ever(record.volume.label)
    if record.volume.locked:
        raise locked_by_a_program(record.volume.label)
    return record.volume


def _why_unreadable(folder: Path) -> Message:
    try:
        why = virtual_cartridge.contradiction(folder, virtual_record.read(folder))
    except DamagedRecord as error:
        return M(
            "The record of cartridge {barcode} is damaged: {reason}.", barcode=folder.name, reason=str(error)
        )
    return why or M("Cartridge {barcode} could not be read.", barcode=folder.name)


def _not_mountable(why: Message) -> NotMountable:
    return NotMountable(
        why,
        M("Put in another cartridge; or format this one, or put its files and cartridge.json in order."),
    )


def _health(record: Record) -> Health:
    return Health(
        loads=record.loads,
        written_bytes=record.written_bytes,
        write_errors=record.write_errors,
        read_errors=record.read_errors,
        tape_alerts=("Write failure",) if record.volume and record.volume.read_only else (),
    )
