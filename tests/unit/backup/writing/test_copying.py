"""A set copied byte for byte: through a folder of the host, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.copying import CopySpool, CopyWriting, read_archive, read_documents
from backup.errors import SetExists, SetUnreadable, SpoolFailed
from backup.format.manifest import read_manifest
from backup.records import ArchiveRecord
from policy.errors import TapelineError
from policy.message import M
from tape.errors import TapeFull
from tests.unit.backup.rig import SET, FolderVolume, Rig, full

FOLDER = f"sets/{SET}"


class Stop(TapelineError):
    """The run is cancelled."""


def nothing(_count: int) -> None:
    """No progress to show."""


@pytest.fixture
def written(rig: Rig) -> tuple[FolderVolume, list[ArchiveRecord]]:
    """A complete set of several archives, and a file that a crash has cut off."""
    for number in range(4):
        (rig.source / f"file{number}").write_bytes(bytes([number]) * 300_000)
    rig.back_up(archive_bytes=400_000, compression="none")
    (rig.volume.root / FOLDER / "data-000099.tar").write_bytes(b"cut off")
    return rig.volume, list(read_manifest(rig.volume, SET).archives)


def read(volume: FolderVolume, records: list[ArchiveRecord], folder: Path) -> CopySpool:
    spool = CopySpool(folder)
    for record in records:
        read_archive(volume, SET, record, spool, nothing)
    read_documents(volume, SET, spool, nothing)
    return spool


def contents(volume: FolderVolume) -> dict[str, bytes]:
    return {name: (volume.root / FOLDER / name).read_bytes() for name in volume.names(FOLDER)}


@pytest.fixture
def other(tmp_path: Path) -> Iterator[FolderVolume]:
    """Another tape."""
    (tmp_path / "other").mkdir()
    return FolderVolume(tmp_path / "other")


def test_a_copy_has_what_counts_byte_for_byte(written, other: FolderVolume, tmp_path: Path) -> None:
    """And nothing that was cut off. Done again, it writes nothing; complete.json is written last."""
    volume, records = written
    spool = read(volume, records, tmp_path / "spool")
    assert len(records) > 1
    assert spool.has_all(records)
    assert spool.in_order()[-1].name == "complete.json"
    CopyWriting(other, SET, spool, nothing).run()
    expected = contents(volume)
    del expected["data-000099.tar"]
    assert contents(other) == expected
    assert other.size("README.txt")
    used, again = other.used, CopySpool(tmp_path / "spool")
    assert again.has_all(records)
    writing = CopyWriting(other, SET, again, nothing)
    writing.run()
    writing.withdraw()
    assert (other.used, contents(other)) == (used, expected)


@pytest.mark.parametrize("name", ["data-000001.tar", "index-000001.jsonl.zst", "complete.json"])
def test_what_is_damaged_is_not_copied(written, tmp_path: Path, name: str) -> None:
    volume, records = written
    path = volume.root / FOLDER / name
    path.write_bytes(path.read_bytes()[:-1] + b"#")
    with pytest.raises(SetUnreadable):
        read(volume, records, tmp_path / "spool")
    assert not CopySpool(tmp_path / "spool").has_all(records)


def test_what_was_changed_in_the_spool_is_not_written(written, other: FolderVolume, tmp_path: Path) -> None:
    volume, records = written
    spool = read(volume, records, tmp_path / "spool")
    path = tmp_path / "spool" / "data-000002.tar"
    path.write_bytes(path.read_bytes()[:-1] + b"#")
    with pytest.raises(SpoolFailed, match="not as it was read"):
        CopyWriting(other, SET, spool, nothing).run()
    path.unlink()
    assert not CopySpool(tmp_path / "spool").has_all(records)


def test_a_copy_that_was_cut_off_goes_on(written, other: FolderVolume, tmp_path: Path) -> None:
    """After its last whole file; what was cut off is written anew."""
    volume, records = written
    spool = read(volume, records, tmp_path / "spool")
    CopyWriting(other, SET, spool, nothing).run()
    expected, used = contents(other), other.used
    for name in ("complete.json", "index-000002.jsonl.zst"):
        other.remove(f"{FOLDER}/{name}")
    (other.root / FOLDER / "data-000002.tar").write_bytes(b"cut off")
    CopyWriting(other, SET, spool, nothing).run()
    assert contents(other) == expected
    assert other.used - used < used


@pytest.mark.parametrize("at", [150_000, 700_000, 1_100_000])
def test_a_copy_that_fails_takes_back_what_it_wrote(
    written, other: FolderVolume, tmp_path: Path, at: int
) -> None:
    """Cancelled, or on a full tape."""
    volume, records = written
    spool = read(volume, records, tmp_path / "spool")
    left = [at]

    def stop(count: int) -> None:
        left[0] -= count
        if left[0] < 0:
            raise Stop(M("stop"))

    for capacity, tick, error in ((1 << 40, stop, Stop), (at, nothing, TapeFull)):
        other.capacity = capacity + other.used
        writing = CopyWriting(other, SET, spool, tick)
        with pytest.raises(error):
            writing.run()
        writing.withdraw()
        assert other.names("sets") == []


def test_a_set_of_the_same_id_that_counts_is_never_touched(
    written, other: FolderVolume, tmp_path: Path
) -> None:
    """A complete one, or a sealed archive that is another: nothing of it is removed or replaced."""
    volume, records = written
    spool = read(volume, records, tmp_path / "spool")
    CopyWriting(other, SET, spool, nothing).run()
    path = other.root / FOLDER / "data-000001.tar"
    path.write_bytes(path.read_bytes()[:-1] + b"#")
    for complete in (True, False):
        if not complete:
            other.remove(f"{FOLDER}/complete.json")
        before = contents(other)
        writing = CopyWriting(other, SET, spool, nothing)
        with pytest.raises(SetExists):
            writing.run()
        writing.withdraw()
        assert contents(other) == before


def test_a_seal_that_fails_is_an_error(written, other: FolderVolume, tmp_path: Path) -> None:
    volume, records = written
    spool = read(volume, records, tmp_path / "spool")
    other.faults["seal"] = full()
    with pytest.raises(TapeFull):
        CopyWriting(other, SET, spool, nothing).run()
