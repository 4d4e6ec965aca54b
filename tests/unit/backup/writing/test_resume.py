"""A set that was cut off goes on where it stopped, and nothing dangles."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from backup import entry
from backup.errors import Ended
from backup.format.manifest import read_manifest
from tape.errors import TapeFull
from tests.unit.backup.bench import SET, Log, full


def fill(folder: Path, count: int = 12, size: int = 3000) -> None:
    for number in range(count):
        (folder / f"f{number:02}").write_bytes(bytes([number]) * size)


class Cancelled(Exception):
    """What a caller raises in its check."""


def cancel_after(checks: int) -> Any:
    def check(count: int) -> None:
        if count > checks:
            raise Cancelled

    return check


def interrupted(bench: Any, **changes: Any) -> Log:
    """Back up twelve files until the tape is full, on a volume that is larger afterwards."""
    bench.volume.capacity = 30_000
    with pytest.raises(TapeFull):
        bench.back_up(archive_bytes=10_000, compression="none", **changes)
    bench.volume.capacity = 1 << 40
    first: Log = bench.log
    bench.log = Log()
    return first


def test_resume_goes_on_after_the_last_sealed_archive(bench: Any) -> None:
    """The rest is written, under numbers that were never used, and the set as a whole is complete."""
    fill(bench.source)
    first = interrupted(bench)
    used = {int(name[5:11]) for name in bench.volume.names(f"sets/{SET}") if name.startswith("data-")}
    summary = bench.back_up(archive_bytes=10_000, compression="none", resume=first.resume_point())
    assert {archive.number for archive in bench.log.archives}.isdisjoint(used)
    assert list(summary.archives) == first.archives + bench.log.archives
    assert (summary.files, summary.size) == bench.log.plan == bench.log.steps[-1] == (13, 36_000)
    paths = [entry.path for entry in first.entries + bench.log.entries]
    assert paths == sorted(set(paths))
    assert bench.restore().failures == []
    assert bench.differences() == []


@pytest.mark.parametrize("files", [1, 5, 12])
def test_asked_to_end_it_seals_what_it_has(bench: Any, files: int) -> None:
    """Not a file that was read is lost, and the resumed set is whole."""
    fill(bench.source)
    bench.log.ends_after = files
    with pytest.raises(Ended):
        bench.back_up(archive_bytes=10_000)
    first, bench.log = bench.log, Log()
    assert len(first.entries) == files
    bench.back_up(archive_bytes=10_000, resume=first.resume_point())
    assert len(first.entries) + len(bench.log.entries) == 13
    assert bench.restore().failures == []
    assert bench.differences() == []


def test_resume_on_another_cartridge(bench: Any) -> None:
    """The second volume carries its own documents, and the manifest lists the archives of both."""
    fill(bench.source)
    first = interrupted(bench)
    bench.volume = type(bench.volume)(bench.source.parent / "second")
    bench.volume.root.mkdir()
    summary = bench.back_up(archive_bytes=10_000, resume=first.resume_point())
    manifest = read_manifest(bench.volume, SET)
    assert manifest.archives == summary.archives
    assert (manifest.complete, manifest.files) == (True, 13)
    assert bench.restore().failures == []
    assert sorted(path.name for path in bench.restored().iterdir()) == [
        Path(entry.path).name for entry in bench.log.entries
    ]


def test_resume_links_to_a_name_of_a_sealed_archive(bench: Any) -> None:
    """With its spool, a resumed set still knows the first names of hard links."""
    fill(bench.source)
    os.link(bench.source / "f00", bench.source / "z")
    first = interrupted(bench)
    bench.back_up(resume=first.resume_point())
    assert bench.entries()["z"].target == str(bench.source / "f00")
    assert bench.restore().failures == []
    assert bench.differences() == []


def test_resume_without_the_spool_stores_the_content_again(bench: Any) -> None:
    """Where the first name is not known any more, the other one is a file of its own: nothing dangles."""
    fill(bench.source)
    os.link(bench.source / "f00", bench.source / "z")
    first = interrupted(bench)
    (bench.spool / SET / "links.sqlite").unlink()
    bench.back_up(resume=first.resume_point())
    assert bench.entries()["z"].type is entry.FileType.FILE
    assert bench.restore().failures == []
    # Stored twice, they are one file again: the same inode with the same content.
    assert bench.differences() == []


def test_a_link_never_leads_into_an_archive_that_does_not_count(bench: Any) -> None:
    """A first name in an archive that was not sealed is stored again with its content."""
    fill(bench.source, 2, 20_000)
    os.link(bench.source / "f01", bench.source / "z")
    bench.log.on_check = cancel_after(4)
    with pytest.raises(Cancelled):
        bench.back_up(archive_bytes=21_000, compression="none", frame_bytes=1000)
    first, bench.log = bench.log, Log()
    bench.back_up(resume=first.resume_point())
    assert bench.restore().failures == []
    assert bench.differences() == []


def test_an_inode_that_was_used_again_is_not_a_link(bench: Any) -> None:
    """A file that changed after its first name was stored is stored again under the second."""
    fill(bench.source)
    os.link(bench.source / "f00", bench.source / "z")
    first = interrupted(bench)
    (bench.source / "z").write_bytes(b"something else")
    bench.back_up(resume=first.resume_point())
    assert bench.entries()["z"].type is entry.FileType.FILE
    bench.restore()
    assert bench.restored("z").read_bytes() == b"something else"
    assert bench.restored("f00").read_bytes() == bytes(3000)


def test_resume_of_a_set_that_was_complete_writes_nothing(bench: Any) -> None:
    """After a crash between the last seal and the answer, the same summary is given again."""
    fill(bench.source)
    summary = bench.back_up(archive_bytes=10_000)
    first, bench.log = bench.log, Log()
    before = bench.volume.names(f"sets/{SET}")
    again = bench.back_up(resume=first.resume_point())
    assert (again.files, again.size, again.archives) == (summary.files, summary.size, summary.archives)
    assert again.finished_at == summary.finished_at == read_manifest(bench.volume, SET).finished_at
    assert bench.volume.names(f"sets/{SET}") == before
    assert bench.log.archives == []


def test_resume_of_a_complete_set_tells_what_the_journal_missed(bench: Any) -> None:
    """Archives of a complete set that the journal has not heard of are told with their entries."""
    fill(bench.source)
    bench.back_up(archive_bytes=10_000)
    first, bench.log = bench.log, Log()
    first.archives.pop()
    bench.back_up(resume=first.resume_point())
    assert len(bench.log.archives) == 1
    assert bench.log.entries == first.entries[-len(bench.log.entries) :]


def test_a_journal_that_fails_leaves_the_archive_out(bench: Any) -> None:
    """When the catalogue cannot be written, the resumed set uses nothing of the archive, nor links to it."""
    fill(bench.source)
    for name in ("f01", "f02", "f03"):
        os.link(bench.source / name, bench.source / f"z{name}")

    def refuse(record: Any) -> None:
        if record.number == 2:
            raise ConnectionError("the database is down")

    bench.log.on_sealed = refuse
    with pytest.raises(ConnectionError):
        bench.back_up(archive_bytes=10_000)
    first, bench.log = bench.log, Log()
    summary = bench.back_up(archive_bytes=10_000, resume=first.resume_point())
    assert [archive.number for archive in summary.archives][:2] == [1, 3]
    assert summary.archives[1].follows == 1
    assert 2 not in {entry.place.archive for entry in bench.log.entries}
    assert bench.restore().failures == []
    assert bench.differences() == []


def test_a_torn_document_is_written_again(bench: Any) -> None:
    """What a crash cut off is written under the next name, and the reader finds the whole one."""
    fill(bench.source, 2)
    bench.volume.faults["seal"] = full()
    with pytest.raises(TapeFull):
        bench.back_up()
    torn = bench.file("set.json")
    torn.write_bytes(torn.read_bytes()[:100])
    bench.file("complete.json").write_text("{")
    bench.back_up()
    assert json.loads(bench.file("set-2.json").read_text())["about"] == {"run": 7, "host": "drive-1"}
    assert read_manifest(bench.volume, SET).complete
    assert bench.file("complete-2.json").exists()
