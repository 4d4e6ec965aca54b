"""A volume that appears as a folder: what LTFS mounts, and the virtual drive's plain folder."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from policy.message import M, Message
from tape.drive import Medium
from tape.durable import sync, sync_folder
from tape.errors import (
    DriveError,
    NoDeepRecovery,
    SealFailed,
    TapeFull,
    TapeReadError,
    TapeWriteError,
    VolumeGone,
    WriteProtected,
)

FULL = {errno.ENOSPC, errno.EDQUOT}
BROKEN = {errno.EIO, errno.EROFS, errno.ENXIO, errno.ENODEV, errno.ETIMEDOUT}
"""What LTFS answers after the drive could not write, and what a drive that has vanished answers."""
if sys.platform == "win32":
    # The C library there has no error for a device that fails: it reports "denied", "invalid" or "bad file".
    BROKEN |= {errno.EACCES, errno.EINVAL, errno.EBADF}
GONE = {errno.ENOTCONN, errno.ECONNABORTED}
"""What the kernel answers for a file system whose process has ended."""
READ_AHEAD = 256 * 1024


class FolderVolume:
    """A mounted volume as a folder. Errors of the operating system become the drive's own."""

    def __init__(self, root: Path, medium: Medium, *, read_only: bool = False) -> None:
        self.root = root
        self.medium = medium
        self.read_only = read_only
        self.notes: Sequence[Message] = ()
        self._unsynced: list[FolderFile] = []

    def free(self) -> int:
        """Bytes that can still be written."""
        with reading(self.root):
            return shutil.disk_usage(self.root).free

    def create(self, name: str) -> FolderFile:
        """Begin a new file and create its folders. Raises FileExistsError if the name is taken,
        WriteProtected on a volume mounted read-only, TapeFull, TapeWriteError."""
        self._check_writable()
        path = self._path(name)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._begin(path)
        self._unsynced.append(file)
        return file

    def open(self, name: str) -> BinaryIO:
        """Read a file, seekable. Raises FileNotFoundError, TapeReadError."""
        path = self._path(name)
        with reading(path, may_be_missing=True):
            return io.BufferedReader(self._reader(path, path.open("rb", buffering=0)), READ_AHEAD)

    def size(self, name: str) -> int | None:
        """The file's size in bytes on the volume, or None if there is no such file."""
        path = self._path(name)
        with reading(path):
            return path.stat().st_size if path.is_file() else None

    def names(self, folder: str = "") -> list[str]:
        """The names directly in a folder, sorted; empty if there is no such folder."""
        path = self._path(folder) if folder else self.root
        with reading(path):
            return sorted(os.listdir(path)) if path.is_dir() else []  # noqa: PTH208 - names, not paths

    def remove(self, name: str) -> None:
        """Remove a file that counts for nothing, or an empty folder; its room on the tape is not free again.
        A name that is not there is no error. Raises WriteProtected, TapeWriteError."""
        self._check_writable()
        path = self._path(name)
        with writing(path):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        self._unsynced = [file for file in self._unsynced if file.path != path]

    def seal(self) -> None:
        """Sync the files written since the last seal, and the folders that name them.

        Raises TapeFull, SealFailed. A file system with its own index syncs that too, in its own seal.
        """
        with sealing(self.root):
            for file in self._unsynced:
                sync(file.path)
            for folder in {folder for file in self._unsynced for folder in self._folders(file.path)}:
                sync_folder(folder)
        self._unsynced = [file for file in self._unsynced if not file.closed]

    def _begin(self, path: Path) -> FolderFile:
        return FolderFile(path)

    def _reader(self, path: Path, file: io.FileIO) -> FolderReader:
        return FolderReader(path, file)

    def _folders(self, path: Path) -> Iterator[Path]:
        return (folder for folder in path.parents if folder.is_relative_to(self.root))

    def _path(self, name: str) -> Path:
        """The path of a name; a name that would lead out of the volume is refused."""
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\0" in name:
            raise DriveError(
                M("'{name}' is not a name on a volume.", name=name),
                M("Names are relative, with '/', and do not lead out of the volume."),
            )
        return self.root.joinpath(*parts)

    def _check_writable(self) -> None:
        if self.read_only:
            raise WriteProtected(
                M("The volume {label} is mounted read-only.", label=self.medium.label),
                M("Mount it for writing, and set the cartridge's switch to writable."),
            )


class FolderFile:
    """A file being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("xb", buffering=0)

    @property
    def closed(self) -> bool:
        """Whether it was ended, with or without success."""
        return self._file.closed

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """Write all of ``data``. Raises TapeFull, TapeWriteError; data written until then stays."""
        rest = memoryview(data).cast("B")
        with writing(self.path):
            while rest:
                rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        """End the file. Raises TapeFull, TapeWriteError. Closing twice does nothing."""
        with writing(self.path):
            self._file.close()


class FolderReader(io.RawIOBase):
    """A file being read; its read errors mean that the tape could not be read."""

    def __init__(self, path: Path, file: io.FileIO) -> None:
        super().__init__()
        self.path = path
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int | None:  # type: ignore[override] # typeshed's Buffer is not in 3.11
        with reading(self.path):
            return self._file.readinto(buffer)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        with reading(self.path):
            return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translate the errors of a write; a name that is taken stays a FileExistsError."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise write_error(path, error) from error


@contextmanager
def sealing(path: Path) -> Iterator[None]:
    """Translate the errors of a seal."""
    try:
        yield
    except OSError as error:
        raise seal_error(path, error) from error


@contextmanager
def reading(path: Path, *, may_be_missing: bool = False) -> Iterator[None]:
    """Translate the errors of a read; ``may_be_missing``: a FileNotFoundError stays one."""
    try:
        yield
    except OSError as error:
        if may_be_missing and isinstance(error, FileNotFoundError):
            raise
        raise read_error(path, error) from error


def write_error(path: Path, error: OSError) -> DriveError:
    """What an error of a write means for the tape."""
    if error.errno in FULL:
        return TapeFull(
            M("The tape is full: {path} could not be written to its end.", path=str(path)),
            M("Put in another tape: what was sealed stays readable."),
        )
    if _has_ended(path, error):
        return volume_gone(str(path))
    message = M("{path} cannot be written: {reason}.", path=str(path), reason=_reason(error))
    if error.errno in BROKEN:
        return TapeWriteError(message, M("Do not write this tape again; what was sealed stays readable."))
    return DriveError(message, M("See that the name is allowed and that this user may write there."))


def seal_error(path: Path, error: OSError) -> DriveError:
    """What an error of a seal means for the tape."""
    if error.errno in FULL:
        return TapeFull(
            M("The tape is full: the index of {path} could not be written.", path=str(path)),
            M("Put in another tape: what was sealed before stays readable."),
        )
    if _has_ended(path, error):
        return volume_gone(str(path))
    return SealFailed(
        M("The index of {path} could not be written: {reason}.", path=str(path), reason=_reason(error)),
        M("Do not write this tape again: what was written since the last seal does not count."),
    )


def locked_by_a_program(label: str | None) -> WriteProtected:
    """The error of a volume that was locked against writing on purpose."""
    return WriteProtected(
        M("The volume {label} is locked against writing by a program; no write has failed.", label=label),
        M("Lift the lock with that program, or use another tape."),
    )


def _has_ended(path: Path, error: OSError) -> bool:
    """Whether the process that serves the volume has ended; its last call fails as if the tape were bad."""
    if error.errno in GONE:
        return True
    if error.errno not in BROKEN:
        return False
    try:
        os.stat(path)  # noqa: PTH116 - one call
    except OSError as now:
        return now.errno in GONE
    return False


def volume_gone(name: str | None) -> VolumeGone:
    """The error of a volume whose process has ended."""
    return VolumeGone(
        M("LTFS has ended in the middle: {volume} is no longer mounted.", volume=name or "-"),
        M("What was sealed is there. See the system's log for why it ended, then retry the run."),
    )


def no_deep_recovery(drive: str) -> NoDeepRecovery:
    """The error of a drive that cannot look for the end of the data."""
    return NoDeepRecovery(
        M("Drive {drive} has no deep recovery.", drive=drive),
        M("Check the volume without --deep; LTFS on Linux has it."),
    )


def read_error(path: Path, error: OSError) -> DriveError:
    """What an error of a read means."""
    if _has_ended(path, error):
        return volume_gone(str(path))
    return TapeReadError(
        M("{path} cannot be read from the tape: {reason}.", path=str(path), reason=_reason(error)),
        M("Clean the drive and try again; if it stays, use another copy."),
    )


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
