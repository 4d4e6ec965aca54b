"""A set on a second tape: copied by a real worker, as protected as the first, and read when that is gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from backup.compare import compare_trees
from db.sets import catalog
from db.sets.as_json import set_json
from tape.virtual import shelf
from tests.system import System, label

TEMPLATE = {"compression": "none", "archive_bytes": 1 << 20, "retention_days": 30}


def files_of(folder: Path, set_id: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "sets" / set_id).iterdir())}


def backed_up(system: System, source: Path) -> tuple[str, Path]:
    """A set on a tape of this month, and the folder of that tape's files."""
    source.mkdir()
    for number in range(5):
        (source / f"file{number}").write_bytes(os.urandom(400_000))
    first = system.insert_blank("A00001L9")
    system.schedule("monthly", source, template=TEMPLATE)
    system.start("control", "tape")
    system.start_beat()
    done = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    return done["set_id"], first


def spool(system: System) -> list[Path]:
    return list((system.state / "spool").glob("tapeline-copy-*"))


def test_a_set_is_copied_and_read_from_its_copy(system: System, short_path: Path) -> None:
    """Byte for byte; the tape of the copy is not formatted; after the first tape is out of use, a restore
    reads the copy; both tapes make the same catalogue again."""
    source, target = short_path / "source", short_path / "restored"
    set_id, first = backed_up(system, source)
    plan = system.json("sets", "copy", set_id, "--dry-run")
    assert (plan["tapes"], plan["archives"]) == ([label()], 3)

    run = int(system.json("sets", "copy", set_id)["run"])
    waiting = system.wait_for_state(run, "WAITING_FOR_TAPE", "FAILED")
    assert waiting["state"] == "WAITING_FOR_TAPE", waiting
    assert "has the set" in str(waiting["reason"])
    assert spool(system)
    second = system.insert_blank("A00002L9")
    done = system.wait_for_state(run, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    assert files_of(second, set_id) == files_of(first, set_id)
    system.wait_for(lambda: not spool(system), "an empty spool")
    known = _known(system, set_id)
    assert known[1:3] == ([label()], [(label(2), 3)])

    permit = system.json("tape", "format", "--schedule", "monthly", "--dry-run")
    assert not permit["allowed"]
    assert any(set_id in str(reason) for reason in permit["reasons"])

    system.cli("tape", "mark", label(), "retired")
    plan = system.json("sets", "restore", set_id, "--to", str(target), "--dry-run")
    assert (plan["tapes"], plan["copies"]) == ([label(2)], [label(2)])
    reading = int(system.json("sets", "restore", set_id, "--to", str(target))["run"])
    restored = system.wait_for_state(reading, "SUCCEEDED", "FAILED", "WAITING_FOR_TAPE")
    assert restored["state"] == "SUCCEEDED", restored
    assert compare_trees(source, target / source.relative_to("/")) == []

    system.forget_everything()
    for barcode in ("A00001L9", "A00002L9"):
        shelf.insert(system.drive.path, barcode)
        imported = system.wait_for_state(int(system.json("tape", "import")["run"]), "SUCCEEDED", "FAILED")
        assert imported["state"] == "SUCCEEDED", imported
    assert _known(system, set_id) == known


def _known(system: System, set_id: str) -> Any:
    shown = system.ask(lambda session: set_json(session, catalog.get(session, set_id)))
    copies = [(each["tape"], each["archives"]) for each in shown["copies"]]
    return shown["state"], shown["tapes"], copies, shown["files"], shown["bytes"]
