"""The chip and the index of a virtual cartridge while it is mounted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from policy.message import M
from tape.errors import SealFailed
from tape.virtual import faults as virtual_faults
from tape.virtual import record as virtual_record
from tape.virtual.faults import Fault
from tape.virtual.record import DamagedRecord, Record, VolumeRecord
from tape.volume import seal_error


class Chip:
    """The record of a mounted cartridge: read again if another process has changed it, e.g. its fault plan.

    Every verb that changes it raises TapeFull or SealFailed if the record cannot be written.
    """

    def __init__(self, cartridge: Path, record: Record) -> None:
        self._cartridge = cartridge
        self._record = record
        self._stamp = self._stamp_now()
        self._calls = {"write": 0, "read": 0}

    @property
    def record(self) -> Record:
        """The record as it is now."""
        stamp = self._stamp_now()
        if stamp != self._stamp:
            with record_errors(self._cartridge):
                self._record = virtual_record.read(self._cartridge)
            self._stamp = stamp
        return self._record

    @property
    def index(self) -> VolumeRecord:
        """The index of the volume."""
        return _volume_of(self.record)

    def fault_at(self, at: str) -> Fault | None:
        """Count one close or seal, wait if the plan demands it, and return the fault."""
        if not any(fault.at == at for fault in self.record.faults):
            return None
        with self._editing() as record:
            fault = virtual_faults.take(record.faults, at)
        virtual_faults.wait(fault)
        return fault

    def fault_of_bytes(self, at: str, position: int, size: int) -> Fault | None:
        """Count one write or read, wait if the plan demands it, and return the fault."""
        self._calls[at] += 1
        faults = self.record.faults
        if not virtual_faults.find(faults, at, self._calls[at], position, size):
            return None
        with self._editing() as record:
            fault = virtual_faults.find(record.faults, at, self._calls[at], position, size)
            if fault:
                virtual_faults.use(record.faults, fault)
        virtual_faults.wait(fault)
        return fault

    def write_index(self, sizes: dict[str, int], used: int, written: int) -> None:
        """Seal: from now on these files count."""
        with self._editing() as record:
            index = _volume_of(record)
            index.files |= sizes
            index.used = used
            index.index_generation += 1
            record.written_bytes += written

    def forget(self, name: str) -> None:
        """A file was removed."""
        with self._editing() as record:
            _volume_of(record).files.pop(name, None)

    def end_at(self, used: int) -> None:
        """The tape ends at this byte, regardless of the capacity in the record."""
        with self._editing() as record:
            _volume_of(record).used = used

    def break_for_ever(self) -> None:
        """A write failed: never write this volume again."""
        with self._editing() as record:
            _volume_of(record).read_only = True
            record.write_errors += 1

    def count_read_error(self) -> None:
        with self._editing() as record:
            record.read_errors += 1

    @contextmanager
    def _editing(self) -> Iterator[Record]:
        with record_errors(self._cartridge), virtual_record.editing(self._cartridge) as record:
            yield record
        self._record = record
        self._stamp = self._stamp_now()

    def _stamp_now(self) -> tuple[int, int]:
        with record_errors(self._cartridge):
            status = (self._cartridge / virtual_record.FILE).stat()
        return status.st_ino, status.st_mtime_ns


@contextmanager
def record_errors(cartridge: Path) -> Iterator[None]:
    """Translate the error of a record: without it nothing on the cartridge counts."""
    try:
        yield
    except (DamagedRecord, FileNotFoundError) as error:
        raise SealFailed(
            M(
                "The record of the virtual cartridge {folder} is damaged: {reason}.",
                folder=str(cartridge),
                reason=str(error),
            ),
            M("Put its cartridge.json back: without it nothing on the cartridge counts."),
        ) from error
    except OSError as error:
        raise seal_error(cartridge, error) from error


def _volume_of(record: Record) -> VolumeRecord:
    if record.volume is None:
        raise DamagedRecord("the volume has gone")
    return record.volume
