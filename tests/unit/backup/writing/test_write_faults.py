"""What ends the writing of a set, and what counts afterwards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from backup.errors import SpoolFailed
from backup.format.manifest import read_manifest, sets_on
from tape.errors import SealFailed, TapeFull, TapeWriteError
from tests.unit.backup.bench import SET, seal_failed


def fill(folder: Path, count: int = 12, size: int = 3000) -> None:
    for number in range(count):
        (folder / f"f{number:02}").write_bytes(bytes([number]) * size)


@pytest.mark.parametrize("verb", ["create", "write", "close", "seal"])
@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_a_full_tape_ends_the_set_and_what_was_sealed_counts(bench: Any, verb: str, compression: str) -> None:
    """On whatever verb the end comes, the journal knows exactly the archives that can be restored."""
    for number in range(12):
        (bench.source / f"f{number:02}").write_bytes(os.urandom(3000))
    bench.volume.full_on = verb
    bench.volume.capacity = 30_000
    with pytest.raises(TapeFull):
        bench.back_up(archive_bytes=10_000, compression=compression)
    assert 0 < len(bench.log.archives) < 12
    manifest = read_manifest(bench.volume, SET)
    assert not manifest.complete
    assert list(manifest.archives)[: len(bench.log.archives)] == bench.log.archives
    assert bench.restore(bench.log.entries).failures == []
    assert bench.restored("f00").read_bytes() == (bench.source / "f00").read_bytes()


def test_a_full_tape_while_the_set_begins(bench: Any) -> None:
    """No room even for the documents: the error goes through, and nothing counts."""
    bench.volume.capacity = 10
    with pytest.raises(TapeFull):
        bench.back_up()
    assert bench.log.archives == []


@pytest.mark.parametrize(
    "fault", ["write sets/{set}/data-000001.tar.zst", "close sets/{set}/index-000001.jsonl.zst", "seal"]
)
def test_a_tape_error_is_never_soft(bench: Any, fault: str) -> None:
    """An error of the drive ends the set at once, and the archive under way does not count."""
    fill(bench.source)
    bench.volume.faults[fault.format(set=SET)] = seal_failed()
    with pytest.raises(TapeWriteError):
        bench.back_up()
    assert bench.log.archives == []
    assert not bench.file("complete.json").exists()


def test_a_file_that_lost_bytes_on_the_tape_fails_the_seal(bench: Any) -> None:
    """After the seal the sizes on the volume are compared: shorter than written is not a backup."""
    fill(bench.source)
    real_seal = bench.volume.seal

    def seal() -> None:
        os.truncate(bench.file("data-000001.tar.zst"), 10)
        real_seal()

    bench.volume.seal = seal
    with pytest.raises(SealFailed, match="data-000001"):
        bench.back_up()
    assert bench.log.archives == []


class Cancelled(Exception):
    """What a caller raises in its check."""


def cancel_after(checks: int) -> Any:
    def check(count: int) -> None:
        if count > checks:
            raise Cancelled

    return check


@pytest.mark.parametrize("checks", range(0, 14, 2))
def test_a_check_that_raises_ends_the_set(bench: Any, checks: int) -> None:
    """Cancelled at any check, nothing half-written counts, and no file stays open."""
    fill(bench.source)
    bench.log.on_check = cancel_after(checks)
    with pytest.raises(Cancelled):
        bench.back_up(archive_bytes=10_000, frame_bytes=2000)
    assert not [found for found in sets_on(bench.volume) if found.complete]
    if bench.log.archives:
        assert list(read_manifest(bench.volume, SET).archives) == bench.log.archives


def test_a_long_file_is_checked_while_it_is_read(bench: Any) -> None:
    """A cancel does not wait for the end of a file of many frames."""
    (bench.source / "long").write_bytes(bytes(8 << 20))
    bench.back_up(frame_bytes=1 << 20)
    assert bench.log.checks >= 8
    sizes = [size for _, size in bench.log.steps]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) >= 8


def test_a_spool_that_cannot_be_written_is_told(bench: Any) -> None:
    """A disk that fails is the host's fault, not the tape's."""
    bench.spool.write_text("a file where the folder should be")
    with pytest.raises(SpoolFailed):
        bench.back_up()
