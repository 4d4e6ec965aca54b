"""Which tape a run uses, through the real chain: a wrong one is refused, a named one is erased."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from backup.compare import compare_trees
from db.models import BackupSet, Drive, TapeCartridge
from tape.virtual import shelf
from tests.system import System, label

OLD = datetime(2024, 10, 15, tzinfo=UTC)


@pytest.mark.parametrize("inserted", ["nothing", "foreign", "unreadable", "protected"])
def test_a_wrong_tape_is_refused_and_not_touched(system: System, source: Path, inserted: str) -> None:
    """Refused with the reason, one message, nothing written; with the right tape the same run continues."""
    if inserted == "foreign":
        volume = system.insert_blank()
        with_label = system.drive.format("PHOTOS")
        assert with_label.return_code == 0
        with system.drive.mount() as mounted:
            file = mounted.create("holiday.jpg")
            file.write(b"irreplaceable")
            file.close()
    elif inserted == "unreadable":
        volume = system.insert_blank()
        (volume.parent / "cartridge.json").write_text("{damaged")
    elif inserted == "protected":
        volume = system.insert_blank(write_protected=True)
    system.schedule("monthly", source)
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    failed = system.wait_for_state(run_id, "FAILED")
    assert failed["reason"]
    assert failed["set_id"] is None
    assert all(not permit["consumed_at"] for permit in failed["permits"])
    if inserted == "foreign":
        assert (volume / "holiday.jpg").read_bytes() == b"irreplaceable"
    shown = system.cli("runs", "show", str(run_id)).stdout
    assert f"tapeline runs retry {run_id}" in shown
    system.wait_for(lambda: system.announced() == ["failed"], "one message")

    system.insert_blank("A00002L9")
    start = "precheck" if inserted == "protected" else None
    system.cli(
        "runs", "retry", str(run_id), *(["--from", start] if start else []), "--why", "the right tape is in"
    )
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    assert system.announced() == ["failed", "success"]


def test_a_recycled_tape_keeps_its_row(system: System, source: Path) -> None:
    """With policy rotate an expired tape is formatted: the same row, a new label, one generation more, and
    its old sets are destroyed and still listed."""
    system.insert_blank()
    system.schedule("monthly", source, template={"retention_days": 30})
    system.start("control", "tape")
    first = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    system.ask(_age)
    system.drive.relabel("TP20241001")
    refused = system.wait_for_state(system.run_schedule("monthly"), "FAILED", "SUCCEEDED")
    assert refused["state"] == "FAILED"

    system.change_schedule("monthly", tape_policy="rotate")
    system.cli("runs", "retry", str(refused["id"]))
    done = system.wait_for_state(refused["id"], "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    [tape] = system.json("tape", "list")
    assert (tape["tape_id"], tape["label"], tape["generation"]) == (label(), label(), 2)
    states = {stored["id"]: stored["state"] for stored in tape["sets"]}
    assert states == {first["set_id"]: "destroyed", done["set_id"]: "complete"}
    gone = system.cli("sets", "restore", first["set_id"], "--to", "/tmp/x", code=2)
    assert "destroyed" in gone.stderr


def _age(session: Any, retention_until: datetime | None = OLD) -> None:
    """The one tape and its set are of October 2024."""
    row = session.scalars(select(TapeCartridge)).one()
    row.tape_id = row.label = "TP20241001"
    stored = session.scalars(select(BackupSet)).one()
    stored.started_at = stored.finished_at = OLD
    stored.retention_until = retention_until
    stored.period = "2024-10"
    # A younger full backup exists elsewhere, so that this one may go.
    session.add(_younger_full(stored))


def _younger_full(stored: BackupSet) -> BackupSet:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return BackupSet(
        id="20260101T000000Z-ffff",
        template_id=stored.template_id,
        type=stored.type,
        state=stored.state,
        sources=stored.sources,
        started_at=moment,
        finished_at=moment,
    )


def test_a_dry_run_says_what_a_format_would_cost_and_touches_nothing(system: System, source: Path) -> None:
    """Blank: permitted. With this month's data: it would append. For any drive: its worker looks; if
    several schedules use it, one must be named."""
    system.insert_blank()
    dry = ("format", "--dry-run")
    assert "No schedule is for drive tape0" in system.cli(*dry, code=2).stderr
    system.schedule("monthly", source)
    system.cli("format", "--schedule", "monthly", code=2)
    assert "permitted" in system.cli(*dry).stdout
    assert "permitted" in system.cli("tape", *dry, "--schedule", "monthly").stdout
    system.start("control", "tape")
    run = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    # The tape is on another host now, as far as this command can tell.
    system.environment["TAPELINE_STATE_DIR"] = str(system.folder / "elsewhere")
    assert "append" in system.cli(*dry, "--drive", "tape0", code=4).stdout
    answer = system.json(*dry)
    assert (answer["allowed"], answer["append"]) == (False, True)
    assert [lost["id"] for lost in answer["sets_lost"]] == [run["set_id"]]
    [tape] = system.json("tape", "list")
    assert tape["generation"] == 1
    assert len(system.json("runs", "show", str(run["id"]))["permits"]) == 1
    [drive] = system.json("drive", "status")
    assert drive["medium"]["label"] == label()
    system.schedule("weekly", source)
    assert "monthly, weekly" in system.cli(*dry, code=2).stderr
    system.kill("tape")
    with system.database.transaction() as session:
        row = session.get_one(Drive, "tape0")
        row.host, row.last_seen_at = "backup-host", datetime(2026, 1, 1, tzinfo=UTC)
    silent = system.cli(*dry, "--schedule", "weekly", code=1)
    assert "The worker of drive tape0 on backup-host was last heard of" in silent.stderr


def test_a_tape_is_erased_only_by_its_name(system: System, source: Path) -> None:
    """A kept set on a tape of another month: refused; a manual run that names its label erases it, and keeps
    the label on request. The lost set is listed as destroyed everywhere."""
    system.insert_blank()
    system.schedule("monthly", source)
    system.start("control", "tape")
    first = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    system.ask(lambda session: _age(session, retention_until=None))
    system.drive.relabel("TP20241001")
    other = ("schedule", "run", "monthly", "--no-wait", "--json", "--erase-label")
    for named, state in (("TP20241002", "FAILED"), ("TP20241001", "SUCCEEDED")):
        dry = system.cli("format", "--dry-run", "--erase-label", named, code=0 if state == "SUCCEEDED" else 4)
        assert ("would be lost" in dry.stdout) is (state == "SUCCEEDED")
        run_id = json.loads(system.cli(*other, named, "--keep-label").stdout)["run"]
        run = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
        assert run["state"] == state, run
    [tape] = system.json("tape", "list")
    assert (tape["tape_id"], tape["label"], tape["generation"]) == ("TP20241001", "TP20241001", 2)
    _is_shown_as_destroyed(system, first["set_id"])


def _is_shown_as_destroyed(system: System, set_id: str) -> None:
    """In every list that had the set, and by every command that would need it."""
    [of_tape] = [each for each in system.json("tape", "list")[0]["sets"] if each["id"] == set_id]
    [listed] = [each for each in system.json("sets", "list") if each["id"] == set_id]
    assert of_tape == listed
    assert listed["state"] == "destroyed"
    assert listed["destroyed_at"]
    tape = system.json("tape", "list")[0]["tape_id"]
    for command in (("sets", "list"), ("tape", "show", tape)):
        [line] = [line for line in system.cli(*command).stdout.splitlines() if set_id in line]
        assert "destroyed" in line
    assert set_id not in {found["set"] for found in system.json("sets", "find", "文件-0001")}
    for command in (("sets", "restore", set_id, "--to", "/tmp/x"), ("sets", "verify", set_id)):
        gone = system.cli(*command, code=2).stderr
        assert f"Set {set_id} is destroyed: its tape was formatted on" in gone


def test_a_retry_with_another_tape_of_the_same_label_leaves_the_first_ones_sets_alone(
    system: System, source: Path
) -> None:
    """The permit was for one cartridge: another, empty and labelled alike, is not taken for its format. It
    gets a part and a permit of its own, and the next free label of the month."""
    system.insert_blank()
    system.schedule("monthly", source)
    system.schedule("other", source)
    system.start("control", "tape")
    shelf.set_faults(system.drive.path, "A00001L9", [{"at": "mount", "error": "unreadable"}])
    failed = system.wait_for_state(system.run_schedule("monthly"), "FAILED", "SUCCEEDED")
    assert failed["state"] == "FAILED", failed
    kept = system.wait_for_state(system.run_schedule("other"), "SUCCEEDED", "FAILED")
    assert kept["state"] == "SUCCEEDED", kept

    system.insert_blank("A00002L9")
    assert system.drive.format(label()).return_code == 0
    system.cli("runs", "retry", str(failed["id"]), "--from", "precheck")
    again = system.wait_for_state(failed["id"], "FAILED", "SUCCEEDED")
    assert again["state"] == "SUCCEEDED", again
    assert again["part"] == 2
    assert [permit["part"] for permit in again["permits"] if permit["consumed_at"]] == [1, 2]
    sets = {s["id"]: (s["state"], s["tapes"]) for s in system.json("sets", "list")}
    assert sets[kept["set_id"]] == ("complete", [label()])
    assert sets[again["set_id"]] == ("complete", [label(2)])
    # Nothing was written under the first permit: the other schedule's run found the tape empty.
    assert [tape["generation"] for tape in system.json("tape", "list")] == [2, 1]


def test_a_set_goes_on_only_where_it_was_begun(system: System, source: Path, short_path: Path) -> None:
    """With archives on one cartridge, the run takes no other, not even a blank one, and formats none."""
    volume = system.insert_blank(speed=2 << 20)
    system.schedule("monthly", source, template={"archive_bytes": 1 << 20, "compression": "none"})
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for(
        lambda: (volume / "sets").is_dir() and len(list(volume.glob("sets/*/index-*"))) > 1, "archives"
    )
    system.kill("tape", signal.SIGTERM)
    other = system.insert_blank("A00002L9")
    system.start("tape")
    failed = system.wait_for_state(run_id, "FAILED", "SUCCEEDED")
    assert failed["state"] == "FAILED", failed
    system.cli("runs", "retry", str(run_id), "--from", "precheck")
    failed = system.wait_for_state(run_id, "FAILED", "SUCCEEDED")
    assert label() in str(failed["reason"])
    assert not other.exists()
    shelf.insert(system.drive.path, "A00001L9")
    system.cli("runs", "retry", str(run_id))
    done = system.wait_for_state(run_id, "FAILED", "SUCCEEDED")
    assert done["state"] == "SUCCEEDED", done
    restored = short_path / "restored"
    system.cli("sets", "restore", done["set_id"], "--to", str(restored))
    assert compare_trees(source, restored / source.relative_to("/")) == []


def test_an_operator_says_what_may_be_done_with_a_cartridge(system: System, source: Path) -> None:
    """A retired one is refused, an active one is used again; that of an active run cannot be marked."""
    system.insert_blank(speed=300 << 10)
    system.schedule("monthly", source)
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for(lambda: system.ask(lambda s: s.scalars(select(BackupSet.id)).all()), "the set to begin")
    refused = system.cli("tape", "mark", label(), "retired", code=1)
    assert f"Run {run_id} uses tape {label()} now" in refused.stderr
    assert system.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    system.cli("tape", "mark", label(), "retired")
    failed = system.wait_for_state(system.run_schedule("monthly"), "FAILED", "SUCCEEDED")
    assert "retired" in str(failed["reason"])
    assert system.json("tape", "mark", label(), "active")["state"] == "active"
    system.cli("runs", "retry", str(failed["id"]))
    assert system.wait_for_state(failed["id"], "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    system.cli("tape", "mark", "TP20010101", "active", code=2)
