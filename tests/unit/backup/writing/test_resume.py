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
from tests.unit.backup.rig import SET, Log, full


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


def interrupted(rig: Any, **changes: Any) -> Log:
    """Back up twelve files until the tape is full, on a volume that is larger afterwards."""
    rig.volume.capacity = 30_000
    with pytest.raises(TapeFull):
        rig.back_up(archive_bytes=10_000, compression="none", **changes)
    rig.volume.capacity = 1 << 40
    first: Log = rig.log
    rig.log = Log()
    return first


def test_resume_goes_on_after_the_last_sealed_archive(rig: Any) -> None:
    """The rest is written, under numbers that were never used, and the set as a whole is complete."""
    fill(rig.source)
    first = interrupted(rig)
    used = {int(name[5:11]) for name in rig.volume.names(f"sets/{SET}") if name.startswith("data-")}
    summary = rig.back_up(archive_bytes=10_000, compression="none", resume=first.resume_point())
    assert {archive.number for archive in rig.log.archives}.isdisjoint(used)
    assert list(summary.archives) == first.archives + rig.log.archives
    assert (summary.files, summary.size) == rig.log.plan == rig.log.steps[-1] == (13, 36_000)
    paths = [entry.path for entry in first.entries + rig.log.entries]
    assert paths == sorted(set(paths))
    assert rig.restore().failures == []
    assert rig.differences() == []


@pytest.mark.parametrize("files", [1, 5, 12])
def test_asked_to_end_it_seals_what_it_has(rig: Any, files: int) -> None:
    """Not a file that was read is lost, and the resumed set is whole."""
    fill(rig.source)
    rig.log.ends_after = files
    with pytest.raises(Ended):
        rig.back_up(archive_bytes=10_000)
    first, rig.log = rig.log, Log()
    assert len(first.entries) == files
    rig.back_up(archive_bytes=10_000, resume=first.resume_point())
    assert len(first.entries) + len(rig.log.entries) == 13
    assert rig.restore().failures == []
    assert rig.differences() == []


def test_resume_on_another_cartridge(rig: Any) -> None:
    """The second volume carries its own documents, and the manifest lists the archives of both."""
    fill(rig.source)
    first = interrupted(rig)
    rig.volume = type(rig.volume)(rig.source.parent / "second")
    rig.volume.root.mkdir()
    summary = rig.back_up(archive_bytes=10_000, resume=first.resume_point())
    manifest = read_manifest(rig.volume, SET)
    assert manifest.archives == summary.archives
    assert (manifest.complete, manifest.files) == (True, 13)
    assert rig.restore().failures == []
    assert sorted(path.name for path in rig.restored().iterdir()) == [
        Path(entry.path).name for entry in rig.log.entries
    ]


def test_resume_links_to_a_name_of_a_sealed_archive(rig: Any) -> None:
    """With its spool, a resumed set still knows the first names of hard links."""
    fill(rig.source)
    os.link(rig.source / "f00", rig.source / "z")
    first = interrupted(rig)
    rig.back_up(resume=first.resume_point())
    assert rig.entries()["z"].target == str(rig.source / "f00")
    assert rig.restore().failures == []
    assert rig.differences() == []


def test_resume_without_the_spool_stores_the_content_again(rig: Any) -> None:
    """Where the first name is not known any more, the other one is a file of its own: nothing dangles."""
    fill(rig.source)
    os.link(rig.source / "f00", rig.source / "z")
    first = interrupted(rig)
    (rig.spool / SET / "links.sqlite").unlink()
    rig.back_up(resume=first.resume_point())
    assert rig.entries()["z"].type is entry.FileType.FILE
    assert rig.restore().failures == []
    # Stored twice, they are one file again: the same inode with the same content.
    assert rig.differences() == []


def test_a_link_never_leads_into_an_archive_that_does_not_count(rig: Any) -> None:
    """A first name in an archive that was not sealed is stored again with its content."""
    fill(rig.source, 2, 20_000)
    os.link(rig.source / "f01", rig.source / "z")
    rig.log.on_check = cancel_after(4)
    with pytest.raises(Cancelled):
        rig.back_up(archive_bytes=21_000, compression="none", frame_bytes=1000)
    first, rig.log = rig.log, Log()
    rig.back_up(resume=first.resume_point())
    assert rig.restore().failures == []
    assert rig.differences() == []


def test_an_inode_that_was_used_again_is_not_a_link(rig: Any) -> None:
    """A file that changed after its first name was stored is stored again under the second."""
    fill(rig.source)
    os.link(rig.source / "f00", rig.source / "z")
    first = interrupted(rig)
    (rig.source / "z").write_bytes(b"something else")
    rig.back_up(resume=first.resume_point())
    assert rig.entries()["z"].type is entry.FileType.FILE
    rig.restore()
    assert rig.restored("z").read_bytes() == b"something else"
    assert rig.restored("f00").read_bytes() == bytes(3000)


def test_resume_of_a_set_that_was_complete_writes_nothing(rig: Any) -> None:
    """After a crash between the last seal and the answer, the same summary is given again."""
    fill(rig.source)
    summary = rig.back_up(archive_bytes=10_000)
    first, rig.log = rig.log, Log()
    before = rig.volume.names(f"sets/{SET}")
    again = rig.back_up(resume=first.resume_point())
    assert (again.files, again.size, again.archives) == (summary.files, summary.size, summary.archives)
    assert again.finished_at == summary.finished_at == read_manifest(rig.volume, SET).finished_at
    assert rig.volume.names(f"sets/{SET}") == before
    assert rig.log.archives == []


def test_resume_of_a_complete_set_tells_what_the_journal_missed(rig: Any) -> None:
    """Archives of a complete set that the journal has not heard of are told with their entries."""
    fill(rig.source)
    rig.back_up(archive_bytes=10_000)
    first, rig.log = rig.log, Log()
    first.archives.pop()
    rig.back_up(resume=first.resume_point())
    assert len(rig.log.archives) == 1
    assert rig.log.entries == first.entries[-len(rig.log.entries) :]


def test_a_journal_that_fails_leaves_the_archive_out(rig: Any) -> None:
    """When the catalogue cannot be written, the resumed set uses nothing of the archive, nor links to it."""
    fill(rig.source)
    for name in ("f01", "f02", "f03"):
        os.link(rig.source / name, rig.source / f"z{name}")

    def refuse(record: Any) -> None:
        if record.number == 2:
            raise ConnectionError("the database is down")

    rig.log.on_sealed = refuse
    with pytest.raises(ConnectionError):
        rig.back_up(archive_bytes=10_000)
    first, rig.log = rig.log, Log()
    summary = rig.back_up(archive_bytes=10_000, resume=first.resume_point())
    assert [archive.number for archive in summary.archives][:2] == [1, 3]
    assert summary.archives[1].follows == 1
    assert 2 not in {entry.place.archive for entry in rig.log.entries}
    assert rig.restore().failures == []
    assert rig.differences() == []


def test_a_torn_document_is_written_again(rig: Any) -> None:
    """What a crash cut off is written under the next name, and the reader finds the whole one."""
    fill(rig.source, 2)
    rig.volume.faults["seal"] = full()
    with pytest.raises(TapeFull):
        rig.back_up()
    torn = rig.file("set.json")
    torn.write_bytes(torn.read_bytes()[:100])
    rig.file("complete.json").write_text("{")
    rig.back_up()
    assert json.loads(rig.file("set-2.json").read_text())["about"] == {"run": 7, "host": "drive-1"}
    assert read_manifest(rig.volume, SET).complete
    assert rig.file("complete-2.json").exists()
