"""The catalogue made again from tapes alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from backup.compare import compare_trees
from backup.entry import FileType
from cli import sample
from db.models import BackupFile
from tape.virtual import shelf
from tests.system import System


@pytest.fixture
def source(short_path: Path) -> Path:
    folder = short_path / "source"
    sample.make(folder / "mixed", large=1 << 20, small=30)
    for number in range(8):
        (folder / f"large{number}").write_bytes(os.urandom(1 << 20))
    return folder


def catalogue(system: System) -> Any:
    """What is known of sets, archives and files, without what only a run could know."""
    names = ("id", "type", "state", "parent", "tapes", "files", "deleted", "bytes", "archives", "warnings")
    times = ("finished_at", "retention_until")
    sets = [{name: stored[name] for name in names + times} for stored in system.json("sets", "list")]
    columns = [column for column in BackupFile.__table__.columns]  # noqa: C416 - a collection of its own kind
    files = system.ask(lambda s: s.execute(select(*columns).order_by(*columns[:3])).all())
    return sets, [tuple(map(str, row)) for row in files]


def test_the_catalogue_is_made_again_from_tapes_alone(system: System, source: Path, short_path: Path) -> None:
    """A full set over two tapes and an increment: imported in any order, twice; then it restores. The file in
    pieces, one that is longer than the first tape, lies on both."""
    (source / "huge").write_bytes(os.urandom(7 << 20))
    for number, capacity in ((1, 6 << 20), (2, 24 << 20)):
        shelf.new_cartridge(system.drive.path, f"A0000{number}L9", capacity=capacity)
    shelf.insert(system.drive.path, "A00001L9")
    template = {"compression": "none", "archive_bytes": 2 << 20, "retention_days": 30}
    system.schedule("monthly", source, template=template)
    system.start("control", "tape")
    system.start_beat()
    first = system.run_schedule("monthly")
    system.wait_for_state(first, "WAITING_FOR_TAPE")
    shelf.insert(system.drive.path, "A00002L9")
    assert system.wait_for_state(first, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    (source / "later").write_text("later")
    next(path for path in source.rglob("*.txt")).unlink()
    second = int(system.json("schedule", "run", "monthly", "--type", "incremental")["run"])
    done = system.wait_for_state(second, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    before = catalogue(system)
    pieces = select(func.count()).where(BackupFile.type == FileType.PIECE)
    assert system.ask(lambda session: session.scalar(pieces)) >= 4

    system.forget_everything()
    assert system.json("sets", "list") == []
    for number, barcode in enumerate(("A00002L9", "A00001L9", "A00002L9")):
        shelf.insert(system.drive.path, barcode)
        imported = int(system.json("tape", "import")["run"])
        ended = system.wait_for_state(imported, "SUCCEEDED", "FAILED")
        assert ended["state"] == "SUCCEEDED", ended
        states = {stored["state"] for stored in system.json("sets", "list")}
        assert ("incomplete" in states) is (number == 0)
    assert catalogue(system) == before

    target = short_path / "restored"
    plan = system.json("sets", "restore", done["set_id"], "--to", str(target), "--dry-run")
    assert len(plan["tapes"]) == 2
    reading = int(system.json("sets", "restore", done["set_id"], "--to", str(target))["run"])
    system.wait_for_state(reading, "FAILED", "WAITING_FOR_TAPE")
    shelf.insert(system.drive.path, "A00001L9")
    assert system.wait_for_state(reading, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    assert compare_trees(source, target / source.relative_to("/")) == []


def test_an_empty_drive_is_told(system: System) -> None:
    """There is nothing to import, and the error says what is in the drive."""
    system.start("control", "tape")
    failed = system.wait_for_state(int(system.json("tape", "import")["run"]), "FAILED", "SUCCEEDED")
    assert "nothing to import" in str(failed["reason"])
