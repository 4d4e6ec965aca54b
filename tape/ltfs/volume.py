"""A volume that LTFS has mounted: a folder with its own index, described by extended attributes."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path

from policy.message import M, Message
from tape.drive import Health, Medium
from tape.errors import DriveError, SealFailed
from tape.ltfs.tape_alert import names_of
from tape.volume import FolderFile, FolderVolume, sealing, volume_gone

MB = 1_000_000
INDEX_SECONDS = 30.0
"""How long to wait for the new generation after LTFS has reported that the index is written."""


class LtfsVolume(FolderVolume):
    """After a crash only sealed data counts: syncing a file writes no index."""

    def __init__(self, root: Path, medium: Medium, *, read_only: bool, notes: Sequence[Message] = ()) -> None:
        super().__init__(root, medium, read_only=read_only)
        self.notes = tuple(notes)
        self._device = os.stat(root).st_dev  # noqa: PTH116 - one call, at each use below
        self._sealed = number(root, "indexGeneration") or 0

    def seal(self) -> None:
        """Have LTFS write its index, and verify that its generation grows. Raises TapeFull, SealFailed."""
        self.check_mounted()
        if self.read_only or not self._unsynced:
            return
        with sealing(self.root):
            os.setxattr(self.root, "user.ltfs.sync", b"1")
        self._sealed = self._grown()
        self._unsynced = [file for file in self._unsynced if not file.closed]

    def rename(self, label: str) -> None:
        """Change the volume's name, and write the index that contains it. Raises TapeFull, SealFailed."""
        with sealing(self.root):
            os.setxattr(self.root, "user.ltfs.volumeName", label.encode())
            os.setxattr(self.root, "user.ltfs.sync", b"1")

    def leave(self, *, failed: bool) -> None:
        """Close open files and seal. ``failed``: an error that explains more is already being raised.

        Raises TapeFull, SealFailed.
        """
        errors = [error for file in self._unsynced if (error := _closed(file))]
        if failed:
            return
        if errors:
            raise errors[0]
        self.seal()

    def check_mounted(self) -> None:
        """Raises DriveError if this is no longer the volume, but the bare folder below it, or a dead
        mount."""
        try:
            there = os.stat(self.root).st_dev == self._device  # noqa: PTH116 - see above
        except OSError as error:
            raise self._gone() from error
        if not there:
            raise self._gone()

    def _begin(self, path: Path) -> FolderFile:
        return FolderFile(path)

    def _check_writable(self) -> None:
        self.check_mounted()
        super()._check_writable()

    def _gone(self) -> DriveError:
        return volume_gone(self.medium.label)

    def _grown(self) -> int:
        deadline = time.monotonic() + INDEX_SECONDS
        while True:
            generation = number(self.root, "indexGeneration") or 0
            if generation > self._sealed:
                return generation
            if time.monotonic() > deadline:
                raise SealFailed(
                    M(
                        "The index of {path} stayed at generation {generation}: it was not written.",
                        path=str(self.root),
                        generation=generation,
                    ),
                    M("Do not write this tape again: what was written since the last seal does not count."),
                )
            time.sleep(0.05)


def _closed(file: FolderFile) -> DriveError | None:
    try:
        file.close()
    except DriveError as error:
        return error
    return None


def attribute(root: Path, name: str) -> str | None:
    """An attribute of a volume or file by its name; LTFS does not list them. None if it is not known.

    Never read all of them: reading ``ltfs.sync`` writes an index. Raises OSError.
    """
    try:
        return os.getxattr(root, f"user.ltfs.{name}").decode("utf-8", "replace").strip("\0") or None
    except OSError as error:
        if error.errno in {errno.ENODATA, errno.ENOTSUP, errno.EINVAL}:
            return None
        raise


def number(root: Path, name: str) -> int | None:
    """A number; -1 is LTFS's way to report "not known". Raises OSError."""
    text = attribute(root, name)
    try:
        value = int(text or "-1", 0)
    except ValueError:
        return None
    return None if value < 0 else value


def health(root: Path) -> Health:
    """The condition of cartridge and drive, as the mounted volume reports it. Raises OSError."""
    written = number(root, "mediaMBWritten")
    return Health(
        loads=number(root, "mediaLoads"),
        written_bytes=None if written is None else written * MB,
        write_errors=number(root, "mediaPermanentWriteErrors"),
        read_errors=number(root, "mediaPermanentReadErrors"),
        tape_alerts=names_of(number(root, "mediaStorageAlert") or 0),
    )
