"""The volume of a virtual cartridge: a plain folder that fills up, takes its time and fails as planned."""

from __future__ import annotations

import errno
import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from policy.message import M
from tape.drive import Medium
from tape.errors import DriveError, TapeFull, TapeWriteError
from tape.virtual.chip import Chip
from tape.virtual.faults import Fault
from tape.virtual.record import VOLUME, Record
from tape.volume import FolderFile, FolderReader, FolderVolume, read_error, sealing, writing

ERRNO = {"full": errno.ENOSPC, "eio": errno.EIO, "erofs": errno.EROFS, "unreadable": errno.EIO}
LOST_AT_CLOSE = 512 * 1024
"""What the drive still had in its buffer when the tape was full at the close of a file: one LTFS block."""


class VirtualVolume(FolderVolume):
    """After a crash only sealed data counts; bytes once written stay used until the next format."""

    def __init__(self, cartridge: Path, record: Record, medium: Medium, *, read_only: bool) -> None:
        super().__init__(cartridge / VOLUME, medium, read_only=read_only)
        self._chip = Chip(cartridge, record)
        self._used = self._chip.index.used
        self._unsealed_bytes = 0
        self._unsealed: dict[str, VirtualFile] = {}
        self._broken = self._chip.index.read_only
        self._mounted = True
        self._clock = TapeClock(record.speed)

    def free(self) -> int:
        """Bytes that can still be written."""
        return max(0, self._chip.record.capacity - self._used)

    def remove(self, name: str) -> None:
        """Remove a file or an empty folder; its bytes stay used until the next format."""
        super().remove(name)
        self._unsealed.pop(name, None)
        self._chip.forget(name)

    def seal(self) -> None:
        """Write the index. Raises TapeFull, SealFailed."""
        self._check_mounted()
        if self.read_only:
            return
        with self.breaking(), sealing(self.root):
            if self._broken:
                raise os_error("erofs")
            fail(self._chip.fault_at("seal"))
            super().seal()
            self._write_index()

    def unmount(self, *, failed: bool) -> None:
        """Close open files and write the index. ``failed``: an error that explains more is already being
        raised.

        Raises TapeFull, SealFailed.
        """
        try:
            self._close_all()
            if self._unsealed and not (self._broken and failed):
                self.seal()
        finally:
            self._close_all()
            self._mounted = False

    def admit(self, size: int) -> tuple[int, OSError | None]:
        """How many bytes of a write go on the tape, and which fault follows."""
        self._check_mounted()
        if self._broken:
            return 0, os_error("erofs")
        fault = self._chip.fault_of_bytes("write", self._used, size)
        room = min(size, self.free())
        if fault and fault.error in ERRNO:
            return min(room, fault.room(self._used)), os_error(fault.error)
        return room, None if room == size else os_error("full")

    def passed(self, size: int) -> None:
        """Count bytes that went on the tape, and take as long as the tape would."""
        self._used += size
        self._unsealed_bytes += size
        self._clock.pass_by(size)

    def closing(self, path: Path) -> None:
        """Let a close fail. If the tape is full the file stays, shorter than was acknowledged.

        Raises OSError.
        """
        if self._broken:
            raise os_error("erofs")
        fault = self._chip.fault_at("close")
        if fault and fault.error == "full":
            os.truncate(path, max(0, path.stat().st_size - LOST_AT_CLOSE))
        fail(fault)

    def reading(self, path: Path, position: int, size: int) -> None:
        """Let a read fail. Raises TapeReadError."""
        fault = self._chip.fault_of_bytes("read", position, size)
        if fault and fault.error in ERRNO:
            self._chip.count_read_error()
            raise read_error(path, os_error(fault.error))

    @contextmanager
    def breaking(self) -> Iterator[None]:
        """Record the effect of an error: the tape ends here, or is read-only for ever."""
        try:
            yield
        except TapeFull:
            self._used = max(self._used, self._chip.record.capacity)
            self._chip.end_at(self._used)
            raise
        except TapeWriteError:
            if not self._broken:
                self._broken = True
                self._chip.break_for_ever()
            raise

    def _begin(self, path: Path) -> FolderFile:
        file = VirtualFile(path, self)
        self._unsealed[path.relative_to(self.root).as_posix()] = file
        return file

    def _reader(self, path: Path, file: io.FileIO) -> FolderReader:
        return VirtualReader(path, file, self)

    def _check_writable(self) -> None:
        self._check_mounted()
        super()._check_writable()
        if self._broken:
            raise read_only_for_ever(self.medium.label)

    def _check_mounted(self) -> None:
        if not self._mounted:
            raise DriveError(
                M("The volume {label} is no longer mounted.", label=self.medium.label),
                M("Mount it again."),
            )

    def _write_index(self) -> None:
        closed = {name: file for name, file in self._unsealed.items() if file.closed}
        sizes = {name: file.path.stat().st_size for name, file in closed.items()}
        self._chip.write_index(sizes, self._used, self._unsealed_bytes)
        self._unsealed_bytes = 0
        for name in closed:
            del self._unsealed[name]

    def _close_all(self) -> None:
        for file in self._unsealed.values():
            file.abandon()


class VirtualFile(FolderFile):
    """A file being written to a virtual volume."""

    def __init__(self, path: Path, volume: VirtualVolume) -> None:
        super().__init__(path)
        self._volume = volume
        self._failed = False

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """Write all of ``data``. Raises TapeFull, TapeWriteError; data written until then stays."""
        view = memoryview(data).cast("B")
        self._failed = True
        with self._volume.breaking(), writing(self.path):
            room, error = self._volume.admit(len(view))
            super().write(view[:room])
            self._volume.passed(room)
            if error:
                raise error
        self._failed = False

    def close(self) -> None:
        """End the file. Raises TapeFull, TapeWriteError. Closing twice does nothing."""
        if self.closed:
            return
        super().close()
        if not self._failed:
            with self._volume.breaking(), writing(self.path):
                self._volume.closing(self.path)

    def abandon(self) -> None:
        """End the file as it is, because the volume is unmounted."""
        super().close()


class VirtualReader(FolderReader):
    """A file being read from a virtual volume."""

    def __init__(self, path: Path, file: io.FileIO, volume: VirtualVolume) -> None:
        super().__init__(path, file)
        self._volume = volume

    def readinto(self, buffer: bytearray | memoryview, /) -> int | None:  # type: ignore[override] # typeshed's Buffer is not in 3.11
        self._volume.reading(self.path, self.tell(), len(buffer))
        return super().readinto(buffer)


class TapeClock:
    """Passes bytes no faster than a tape moves; ``speed`` in bytes a second, None: at once."""

    def __init__(self, speed: int | None) -> None:
        self._speed = speed
        self._free_at = time.monotonic()

    def pass_by(self, size: int) -> None:
        """Wait until the tape has taken so many bytes."""
        if self._speed is None:
            return
        self._free_at = max(self._free_at, time.monotonic()) + size / self._speed
        time.sleep(max(0.0, self._free_at - time.monotonic()))


def read_only_for_ever(label: str | None) -> TapeWriteError:
    """The error for a volume that must not be written again."""
    return TapeWriteError(
        M("The volume {label} is read-only for ever, since a write to it failed.", label=label),
        M("Use another tape; what was sealed stays readable."),
    )


def fail(fault: Fault | None) -> None:
    """Raise the OSError that a fault represents, if there is one."""
    if fault and fault.error in ERRNO:
        raise os_error(fault.error)


def os_error(error: str) -> OSError:
    number = ERRNO[error]
    return OSError(number, os.strerror(number))
