"""A set that goes on on another cartridge; each of them is readable by itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from backup.compare import compare_trees
from backup.format.manifest import entries_on, read_manifest
from backup.restore import Restoration
from tape.drive import Medium, MediumState
from tape.errors import TapeFull
from tests.unit.backup.rig import SET, FolderVolume


def fill(folder: Path, count: int = 12, size: int = 3000) -> None:
    for number in range(count):
        (folder / f"f{number:02}").write_bytes(os.urandom(size))


def volume(rig: Any, number: int, capacity: int, slowness: float = 0.0) -> FolderVolume:
    """A new tape that holds so much."""
    root = rig.volume.root.parent / f"volume{number}"
    root.mkdir()
    medium = Medium(MediumState.FORMATTED, label=f"TP2026110{number}", capacity=capacity)
    return FolderVolume(root, capacity=capacity, medium=medium, slowness=slowness)


def span(rig: Any, capacity: int, *, slowness: float = 0.0, **changes: Any) -> list[FolderVolume]:
    """Back up on one tape after the other, until the set is complete."""
    tapes: list[FolderVolume] = []
    resume = None
    while True:
        rig.volume = volume(rig, len(tapes) + 1, capacity, slowness)
        tapes.append(rig.volume)
        assert len(tapes) < 20
        try:
            rig.summary = rig.back_up(resume=resume, label=rig.volume.medium.label, **changes)
        except TapeFull:
            resume = rig.log.resume_point()
        else:
            return tapes


def restore(rig: Any, tapes: list[FolderVolume]) -> Any:
    """From one tape after the other, with a break between them."""
    state = rig.spool / "restored.sqlite"
    for tape in tapes:
        with Restoration(rig.target, state=state) as restoration:
            restoration.take(tape, SET, entries_on(tape, SET), tapes.index(tape))
            restoration.archive_done()
    with Restoration(rig.target, state=state) as restoration:
        return restoration.finish()


@pytest.mark.parametrize("reserve", [0, 4000])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_set_spans_tapes_and_comes_back(rig: Any, reserve: int, compression: str) -> None:
    """Each archive is on one tape, the reserve stays free, and restored from all of them nothing is lost."""
    fill(rig.source, 20)
    (rig.source / "folder").mkdir()
    fill(rig.source / "folder", 5)
    os.utime(rig.source / "folder", ns=(0, 12345))
    tapes = span(rig, 40_000, archive_bytes=12_000, compression=compression, reserve_bytes=reserve)
    assert len(tapes) >= 3
    numbers = [archive.number for archive in rig.summary.archives]
    assert numbers == sorted(set(numbers))
    # What is said last may take from it: the index of the last archive, and complete.json.
    documents = [tape.size(f"sets/{SET}/complete.json") or 0 for tape in tapes]
    assert all(tape.free() >= reserve - size - 1000 for tape, size in zip(tapes, documents, strict=True))
    assert restore(rig, tapes).failures == []
    assert rig.differences() == []


def test_a_set_over_tapes_comes_back_by_what_its_readme_says(rig: Any) -> None:
    """The last tape says which tape has which archive; each unpacked into one folder, all files are back."""
    if missing := [tool for tool in ("tar", "zstd", "bash", "diff") if shutil.which(tool) is None]:
        pytest.skip(f"not installed here: {', '.join(missing)}")
    fill(rig.source, 20)
    tapes = {tape.medium.label: tape for tape in span(rig, 40_000, archive_bytes=12_000)}
    assert len(tapes) >= 2
    rig.target.mkdir()
    said = json.loads(rig.file("complete.json").read_bytes())["archives"]
    assert {archive["label"] for archive in said} == tapes.keys()
    for archive in said:
        tape = tapes[archive["label"]]
        unpack = re.search(r"(tar -xipf .*) -C /restore/here", (tape.root / "README.txt").read_text())
        assert unpack
        command = f"zstd -dc {archive['name']} | {unpack[1]} -C {rig.target}"
        folder = tape.root / "sets" / SET
        subprocess.run(["bash", "-o", "pipefail", "-ec", command], cwd=folder, check=True)
    subprocess.run(["diff", "-r", rig.source, rig.restored()], check=True)


@pytest.mark.parametrize("size", [700_000, 3_000_000])
def test_no_archive_is_begun_in_vain_while_the_buffer_holds_what_the_tape_has_not_got(
    rig: Any, size: int
) -> None:
    """What waits in memory for a slow drive counts as written: every archive is sealed where it was begun."""
    fill(rig.source, 42_000_000 // size, size)
    tapes = span(rig, 14 << 20, slowness=0.002, compression="none", archive_bytes=8 << 20)
    assert len(tapes) <= 4
    sealed = {archive.name for archive in rig.summary.archives}
    begun = [path.name for tape in tapes for path in tape.root.glob("sets/*/data-*")]
    assert sorted(begun) == sorted(sealed)


def test_each_tape_is_readable_by_itself(rig: Any, tmp_path: Path) -> None:
    """With tar alone: every file is on one of the tapes, links on the tape of their content; the last one
    lists all archives, each other one tells by its indexes what it holds."""
    if shutil.which("tar") is None:
        pytest.skip("not installed here: tar")
    fill(rig.source, 10)
    for number in range(10):
        os.link(rig.source / "f00", rig.source / f"link{number}")
    tapes = span(rig, 24_000, archive_bytes=8_000, compression="none")
    assert len(tapes) >= 2
    target = tmp_path / "by hand"
    target.mkdir()
    for tape in tapes:
        for archive in read_manifest(tape, SET).archives:
            path = tape.root / "sets" / SET / archive.name
            if path.exists():
                subprocess.run(["tar", "-xpf", path, "-C", target], check=True)
    found = compare_trees(rig.source, target / str(rig.source)[1:])
    assert {difference.what for difference in found} <= {"links", "mtime"}
    assert read_manifest(tapes[-1], SET).complete
    assert not read_manifest(tapes[0], SET).complete
    assert restore(rig, tapes).failures == []
    assert rig.differences() == []


def test_a_hard_link_goes_only_to_what_its_own_tape_holds(rig: Any) -> None:
    """The other name of a file is on the first tape: the second has its content again, and is enough."""
    fill(rig.source, 8)
    os.link(rig.source / "f00", rig.source / "z-link")
    tapes = span(rig, 20_000, archive_bytes=8_000, compression="none", reserve_bytes=0)
    has_link = [any(entry.path.endswith("z-link") for entry in entries_on(tape, SET)) for tape in tapes]
    assert has_link.index(True) > 0
    restored = rig.restored("z-link")
    with Restoration(rig.target, state=rig.spool / "restored.sqlite") as restoration:
        tape = tapes[has_link.index(True)]
        restoration.take(tape, SET, entries_on(tape, SET), 0)
        restoration.archive_done()
        restoration.finish()
    assert restored.read_bytes() == (rig.source / "f00").read_bytes()
