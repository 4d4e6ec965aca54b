"""Whole files on the volume: written in one go, always closed, and checked after the seal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from policy.message import M
from tape.drive import TapeFile, Volume
from tape.errors import DriveError, SealFailed, TapeReadError

BLOCK = 1 << 20


class Digest(Protocol):
    """An unfinished hash."""

    def update(self, data: bytes, /) -> None: ...


@contextmanager
def closed_on_error(file: TapeFile) -> Iterator[None]:
    """Close the file if the body fails; an error of the close becomes a note of the first error."""
    try:
        yield
    except BaseException as error:
        close_after(file, error)
        raise


def close_after(file: TapeFile, error: BaseException) -> None:
    """Close a file that no longer counts, because of ``error``."""
    try:
        file.close()
    except DriveError as second:
        error.add_note(f"Then, on closing the file: {second}")


def put(volume: Volume, name: str, blocks: Iterable[bytes]) -> int:
    """Write a new file; returns its bytes. Raises FileExistsError, TapeFull, TapeWriteError."""
    file = volume.create(name)
    size = 0
    with closed_on_error(file):
        for block in blocks:
            file.write(block)
            size += len(block)
    file.close()
    return size


def blocks_of(path: Path) -> Iterator[bytes]:
    """A file of the host's disk, block by block."""
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK):
            yield block


def hashed(blocks: Iterable[bytes], digest: Digest) -> Iterator[bytes]:
    """The blocks, each of them added to a hash as it passes."""
    for block in blocks:
        digest.update(block)
        yield block


def confirm(volume: Volume, sizes: Mapping[str, int]) -> None:
    """Check that the volume has these files with these sizes, after a seal. Raises SealFailed."""
    for name, size in sizes.items():
        actual = volume.size(name)
        if actual != size:
            raise SealFailed(
                M(
                    "The file {name} has {found} bytes on the tape where {size} were written.",
                    name=name,
                    found=actual if actual is not None else 0,
                    size=size,
                ),
                M("Do not write to this cartridge again; run the backup on another one."),
            )


def open_to_read(volume: Volume, name: str) -> BinaryIO:
    """Open a file of the volume. Raises FileNotFoundError, TapeReadError."""
    try:
        return volume.open(name)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise read_error(name, error) from error


def read_error(name: str, error: OSError) -> TapeReadError:
    """The drive's error for a failed read of a file."""
    return TapeReadError(
        M("The file {name} on the tape could not be read: {reason}.", name=name, reason=error.strerror or ""),
        M("Clean the drive and try again, or read the cartridge in another drive."),
    )


def read_whole(volume: Volume, name: str) -> bytes:
    """The content of a small file. Raises FileNotFoundError, TapeReadError."""
    with open_to_read(volume, name) as file:
        try:
            return b"".join(iter(lambda: file.read(BLOCK), b""))
        except OSError as error:
            raise read_error(name, error) from error
