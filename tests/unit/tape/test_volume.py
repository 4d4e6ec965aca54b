"""A folder as a volume: what errors of the operating system mean for a tape, and what a seal syncs."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tape import durable, volume
from tape.drive import Medium, MediumState
from tape.errors import DriveError, SealFailed, TapeFull, TapeReadError, TapeWriteError
from tape.volume import FolderVolume, reading, sealing, writing

PLACE = Path("volume/file")


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number), str(PLACE))


@pytest.fixture
def folder(tmp_path: Path) -> FolderVolume:
    """A plain folder as a volume."""
    return FolderVolume(tmp_path, Medium(MediumState.FORMATTED, label="TP20261101"))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, TapeFull),
        (errno.EDQUOT, TapeFull),
        (errno.EIO, TapeWriteError),
        (errno.EROFS, TapeWriteError),
        (errno.ENODEV, TapeWriteError),
        (errno.ENAMETOOLONG, DriveError),
        (errno.EACCES, DriveError),
    ],
)
def test_what_a_write_error_means(number: int, expected: type[DriveError]) -> None:
    """Only what the tape says itself makes it full or bad; a wrong name or missing right does not."""
    with pytest.raises(DriveError) as failed, writing(PLACE):
        raise os_error(number)
    assert type(failed.value) is expected
    assert failed.value.remedy
    assert isinstance(failed.value.__cause__, OSError)


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, TapeFull), (errno.EIO, SealFailed), (errno.EACCES, SealFailed)]
)
def test_what_a_seal_error_means(number: int, expected: type[DriveError]) -> None:
    """Whatever goes wrong with a seal but a full tape: what was written since the last one does not count."""
    with pytest.raises(DriveError) as failed, sealing(PLACE):
        raise os_error(number)
    assert type(failed.value) is expected


def test_what_a_read_error_means() -> None:
    """A read error is a read error, also a file that vanished, unless it was asked for by name."""
    for number in (errno.EIO, errno.ENOENT):
        with pytest.raises(TapeReadError), reading(PLACE):
            raise os_error(number)
    with pytest.raises(FileNotFoundError), reading(PLACE, may_be_missing=True):
        raise os_error(errno.ENOENT)


def test_a_seal_syncs_what_is_new(folder: FolderVolume, monkeypatch: pytest.MonkeyPatch) -> None:
    """A seal syncs each file written since the last one, and again one that is still being written."""
    synced: list[str] = []

    def sync(path: Path) -> None:
        synced.append(path.name)
        durable.sync(path)

    monkeypatch.setattr(volume, "sync", sync)
    folder.create("a/closed").close()
    still_open = folder.create("b/open")
    folder.seal()
    assert synced == ["closed", "open"]
    still_open.write(b"more")
    still_open.close()
    folder.seal()
    folder.seal()
    assert synced == ["closed", "open", "open"]


def test_a_real_full_disk(folder: FolderVolume) -> None:
    """A file that the system finds no room for is a full tape."""
    (folder.root / "link").symlink_to("/dev/full")
    with pytest.raises(TapeFull), writing(PLACE), (folder.root / "link").open("wb", buffering=0) as file:
        file.write(b"x")


def test_a_volume_that_has_gone(folder: FolderVolume) -> None:
    """A volume whose folder has gone has no free room, it has a read error."""
    folder.root.rmdir()
    with pytest.raises(TapeReadError):
        folder.free()
    with pytest.raises(FileNotFoundError):
        folder.open("file")
