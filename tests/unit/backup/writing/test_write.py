"""How a set is written, and what is told of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backup.errors import BadRequest, SetExists
from backup.format.manifest import read_manifest, sets_on
from tests.unit.backup.rig import SET, request


def fill(folder: Path, count: int = 12, size: int = 3000) -> None:
    for number in range(count):
        (folder / f"f{number:02}").write_bytes(bytes([number]) * size)


def test_the_journal_hears_of_an_archive_only_after_its_seal(rig: Any) -> None:
    """When an archive is told, the volume has been sealed once for it, and it is whole on the volume."""
    fill(rig.source)
    seals: list[int] = []
    rig.log.on_sealed = lambda record: seals.append(rig.volume.seals)
    summary = rig.back_up(archive_bytes=10_000, compression="none")
    assert seals == list(range(1, len(summary.archives) + 1))
    assert rig.volume.seals == len(seals) + 1
    assert [archive.follows for archive in summary.archives] == [None, *range(1, len(seals))]
    assert list(summary.archives) == rig.log.archives


def test_an_archive_is_not_longer_than_asked(rig: Any) -> None:
    """Without compression an archive stays within its size, except for a file that is longer by itself."""
    fill(rig.source)
    (rig.source / "f05").write_bytes(b"long" * 10_000)
    sizes = [archive.bytes for archive in rig.back_up(archive_bytes=10_000, compression="none").archives]
    assert [size for size in sizes if size > 10_000] == [max(sizes)]
    assert 40_000 < max(sizes) < 60_000


def test_the_summary_counts_what_was_written(rig: Any) -> None:
    """The bytes written are those that lie on the volume, README and documents included."""
    fill(rig.source)
    summary = rig.back_up()
    assert summary.written == sum(
        path.stat().st_size for path in rig.volume.root.rglob("*") if path.is_file()
    )
    assert summary.seconds.scan > 0
    assert summary.seconds.seal > 0
    assert (summary.files, summary.size) == (13, 36_000)
    assert not (rig.spool / SET).exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"level": 0},
        {"level": 99},
        {"compression": "rar"},
        {"frame_bytes": 0},
        {"set_id": ".."},
        {"set_id": "a/b"},
        {"set_id": ""},
    ],
)
def test_a_request_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    """Compression, level and sizes are checked when the request is made."""
    with pytest.raises(BadRequest):
        request(Path("/"), **wrong)


def test_a_set_is_not_written_twice(rig: Any) -> None:
    """A new set with the name of a complete one is refused."""
    rig.back_up()
    with pytest.raises(SetExists):
        rig.back_up()


def test_the_readme_is_left_as_it_is(rig: Any) -> None:
    """A volume that has a README.txt keeps it."""
    (rig.volume.root / "README.txt").write_text("mine")
    rig.back_up()
    assert (rig.volume.root / "README.txt").read_text() == "mine"


def test_a_second_set_is_appended(rig: Any) -> None:
    """Two sets lie beside each other, and the first is untouched."""
    fill(rig.source, 2)
    rig.back_up()
    before = {path: path.read_bytes() for path in rig.volume.root.rglob("*") if path.is_file()}
    rig.back_up(set_id="20261201T020000Z-000001")
    assert all(path.read_bytes() == content for path, content in before.items())
    assert [found.complete for found in sets_on(rig.volume)] == [True, True]


def test_the_manifest_says_what_was_asked(rig: Any) -> None:
    """The request is in set.json and complete.json, and reads back."""
    fill(rig.source, 2)
    before = datetime.now(UTC)
    summary = rig.back_up()
    manifest = read_manifest(rig.volume, SET)
    assert manifest.about == {"run": 7, "host": "drive-1"}
    assert manifest.started_at == datetime(2026, 11, 1, 2, tzinfo=UTC)
    assert manifest.finished_at is not None
    assert manifest.finished_at >= before
    assert manifest.sources == manifest.roots == (str(rig.source),)
    assert (manifest.archives, manifest.files, manifest.size) == (
        summary.archives,
        summary.files,
        summary.size,
    )
    assert (manifest.type, manifest.compression, manifest.warnings) == ("full", "zstd", 0)
