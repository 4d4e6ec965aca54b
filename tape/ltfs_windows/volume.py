"""A volume below a drive letter. Letters move, and Windows reports little about a device's failures."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Protocol

from policy.message import M
from tape.drive import Medium
from tape.durable import sync
from tape.errors import DriveError, TapeFull, TapeWriteError
from tape.volume import FolderFile, FolderVolume, reading, sealing, writing

if sys.platform == "win32":
    import ctypes
    import msvcrt

    _KERNEL = ctypes.WinDLL("kernel32", use_last_error=True)

    def flush(descriptor: int) -> None:
        """Flush written data to the device. Raises OSError with the reason of a failure."""
        # os.fsync reports every failure as a bad descriptor: a full tape could not be told from a broken one.
        handle = ctypes.c_void_p(msvcrt.get_osfhandle(descriptor))
        if not _KERNEL.FlushFileBuffers(handle):
            raise ctypes.WinError(ctypes.get_last_error())

else:

    def flush(descriptor: int) -> None:
        """Flush written data to the device. Raises OSError."""
        os.fsync(descriptor)


class Letter(Protocol):
    """What a volume needs from its drive."""

    def label(self) -> str | None:
        """The label that the letter shows now. Raises DriveError."""

    def seal(self) -> None:
        """Write the index, if there is a command for it. Raises OSError, DriveError."""


class WindowsVolume(FolderVolume):
    """Files below a drive letter. Its label is read before each file that begins, and at each seal."""

    def __init__(self, letter: Letter, root: Path, medium: Medium, *, read_only: bool) -> None:
        super().__init__(root, medium, read_only=read_only)
        self._letter = letter
        self._left = False

    def seal(self) -> None:
        """Flush every file, and write the index. Raises TapeFull, SealFailed."""
        self._check_there()
        if self.read_only:
            return
        with sealing(self.root):
            for file in self._unsynced:
                sync(file.path)
            self._letter.seal()
        self._unsynced = [file for file in self._unsynced if not file.closed]

    def leave(self, *, failed: bool) -> None:
        """Close open files and seal. ``failed``: an error that explains more is already being raised."""
        try:
            for file in self._unsynced:
                file.close()
            if self._unsynced:
                self.seal()
        except DriveError:
            if not failed:
                raise
        finally:
            self._left = True

    def check_size(self, path: Path, written: int) -> None:
        """A closed file has all bytes that were acknowledged. Raises TapeFull, TapeWriteError.

        Windows reports no errors at the close of a file: if no space is left, its index may not have been
        written.
        """
        with reading(path):
            size = path.stat().st_size
        left = self.free()
        if size == written and left:
            return
        if not left:
            raise TapeFull(
                M("The tape is full: {path} could not be written to its end.", path=str(path)),
                M("Put in another tape: what was sealed stays readable."),
            )
        raise TapeWriteError(
            M(
                "{path} has {found} bytes on the tape where {size} were written.",
                path=str(path),
                found=size,
                size=written,
            ),
            M("Do not write this tape again; what was sealed stays readable."),
        )

    def _begin(self, path: Path) -> FolderFile:
        return WindowsFile(path, self)

    def _check_writable(self) -> None:
        self._check_there()
        super()._check_writable()

    def _check_there(self) -> None:
        """Raises DriveError unless the letter still shows this volume: a dead mount exists and is empty, and
        a letter that moved shows another volume."""
        if self._left:
            raise self._gone()
        try:
            label = self._letter.label()
            os.listdir(self.root)  # noqa: PTH208 - a Path would take some errors for a no
        except (DriveError, OSError) as error:
            raise self._gone() from error
        if label != self.medium.label:
            raise DriveError(
                M(
                    "The letter shows the volume {found} now, and no longer {label}.",
                    found=label or "-",
                    label=self.medium.label or "-",
                ),
                M("Nothing more was written. See 'LtfsCmdDrives' and the setting 'letter'."),
            )

    def _gone(self) -> DriveError:
        return DriveError(
            M("The volume {label} is no longer mounted.", label=self.medium.label), M("Mount it again.")
        )


class WindowsFile(FolderFile):
    """A file being written below a letter; data that did not fit is noticed when it ends."""

    def __init__(self, path: Path, volume: WindowsVolume) -> None:
        super().__init__(path)
        self._volume = volume
        self._written = 0
        self._failed = False

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """Write all of ``data``. Raises TapeFull, TapeWriteError; data written until then stays."""
        self._failed = True
        super().write(data)
        self._written += memoryview(data).nbytes
        self._failed = False

    def close(self) -> None:
        """End the file. Raises TapeFull, TapeWriteError. Closing twice does nothing."""
        if self.closed:
            return
        try:
            if not self._failed:
                with writing(self.path):
                    flush(self._file.fileno())
        finally:
            super().close()
        if not self._failed:
            self._volume.check_size(self.path, self._written)
