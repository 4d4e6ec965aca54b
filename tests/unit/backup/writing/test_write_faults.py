"""What ends the writing of a set, and what counts afterwards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from backup.errors import SpoolFailed
from backup.format.manifest import read_manifest, sets_on
from tape.errors import SealFailed, TapeFull, TapeWriteError
from tests.unit.backup.rig import SET, seal_failed


def fill(folder: Path, count: int = 12, size: int = 3000) -> None:
    for number in range(count):
        (folder / f"f{number:02}").write_bytes(bytes([number]) * size)


@pytest.mark.parametrize("verb", ["create", "write", "close", "seal"])
@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_a_full_tape_ends_the_set_and_what_was_sealed_counts(rig: Any, verb: str, compression: str) -> None:
    """On whatever verb the end comes, the journal knows exactly the archives that can be restored."""
    for number in range(12):
        (rig.source / f"f{number:02}").write_bytes(os.urandom(3000))
    rig.volume.full_on = verb
    rig.volume.capacity = 30_000
    with pytest.raises(TapeFull):
        rig.back_up(archive_bytes=10_000, compression=compression)
    assert 0 < len(rig.log.archives) < 12
    manifest = read_manifest(rig.volume, SET)
    assert not manifest.complete
    assert list(manifest.archives)[: len(rig.log.archives)] == rig.log.archives
    assert rig.restore(rig.log.entries).failures == []
    assert rig.restored("f00").read_bytes() == (rig.source / "f00").read_bytes()


def test_a_full_tape_while_the_set_begins(rig: Any) -> None:
    """No room even for the documents: the error goes through, and nothing counts."""
    rig.volume.capacity = 10
    with pytest.raises(TapeFull):
        rig.back_up()
    assert rig.log.archives == []


@pytest.mark.parametrize(
    "fault", ["write sets/{set}/data-000001.tar.zst", "close sets/{set}/index-000001.jsonl.zst", "seal"]
)
def test_a_tape_error_is_never_soft(rig: Any, fault: str) -> None:
    """An error of the drive ends the set at once, and the archive under way does not count."""
    fill(rig.source)
    rig.volume.faults[fault.format(set=SET)] = seal_failed()
    with pytest.raises(TapeWriteError):
        rig.back_up()
    assert rig.log.archives == []
    assert not rig.file("complete.json").exists()


def test_a_file_that_lost_bytes_on_the_tape_fails_the_seal(rig: Any) -> None:
    """After the seal the sizes on the volume are compared: shorter than written is not a backup."""
    fill(rig.source)
    real_seal = rig.volume.seal

    def seal() -> None:
        os.truncate(rig.file("data-000001.tar.zst"), 10)
        real_seal()

    rig.volume.seal = seal
    with pytest.raises(SealFailed, match="data-000001"):
        rig.back_up()
    assert rig.log.archives == []


class Cancelled(Exception):
    """What a caller raises in its check."""


def cancel_after(checks: int) -> Any:
    def check(count: int) -> None:
        if count > checks:
            raise Cancelled

    return check


@pytest.mark.parametrize("checks", range(0, 14, 2))
def test_a_check_that_raises_ends_the_set(rig: Any, checks: int) -> None:
    """Cancelled at any check, nothing half-written counts, and no file stays open."""
    fill(rig.source)
    rig.log.on_check = cancel_after(checks)
    with pytest.raises(Cancelled):
        rig.back_up(archive_bytes=10_000, frame_bytes=2000)
    assert not [found for found in sets_on(rig.volume) if found.complete]
    if rig.log.archives:
        assert list(read_manifest(rig.volume, SET).archives) == rig.log.archives


def test_a_long_file_is_checked_while_it_is_read(rig: Any) -> None:
    """A cancel does not wait for the end of a file of many frames."""
    (rig.source / "long").write_bytes(bytes(8 << 20))
    rig.back_up(frame_bytes=1 << 20)
    assert rig.log.checks >= 8
    sizes = [size for _, size in rig.log.steps]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) >= 8


def test_a_spool_that_cannot_be_written_is_told(rig: Any) -> None:
    """A disk that fails is the host's fault, not the tape's."""
    rig.spool.write_text("a file where the folder should be")
    with pytest.raises(SpoolFailed):
        rig.back_up()
