"""One full backup through the real chain: real workers, real Redis, real PostgreSQL, a virtual drive."""

from __future__ import annotations

import getpass
import json
import subprocess
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from backup.compare import compare_trees
from db.models import FormatPermit
from db.states import STEPS, Kind
from tests.system import System, label

GB = 10**9


def test_a_full_backup_passes_through_the_six_steps(system: System, source: Path, short_path: Path) -> None:
    """Formatted under a permit, labelled, written, sealed, catalogued, announced; restored byte for byte;
    readable with tar and zstd only; run again in the same month, it appends and does not format."""
    volume = system.insert_blank()
    system.schedule("monthly", source)
    system.start("control", "tape")

    first = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert first["state"] == "SUCCEEDED", first
    assert [step["name"] for step in first["steps"]] == list(STEPS[Kind.BACKUP])
    assert {step["state"] for step in first["steps"]} == {"SUCCEEDED"}
    assert {step["attempts"] for step in first["steps"]} == {1}
    [permit] = first["permits"]
    assert permit["allowed"]
    assert permit["consumed_at"]
    assert permit["outcome"]["ok"]
    assert permit["label"] == label()

    [tape] = system.json("tape", "list")
    assert (tape["tape_id"], tape["label"], tape["generation"], tape["state"]) == (
        label(),
        label(),
        1,
        "active",
    )
    assert tape["bytes_used"] > 0
    [stored] = system.json("sets", "list")
    assert (stored["id"], stored["state"], stored["tapes"]) == (first["set_id"], "complete", [label()])

    restored = short_path / "restored"
    system.cli("sets", "restore", stored["id"], "--to", str(restored))
    assert compare_trees(source, restored / source.relative_to("/")) == []

    _opens_with_standard_tools(volume / "sets" / stored["id"], source, short_path / "by-hand")

    second = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    steps = {step["name"]: step["state"] for step in second["steps"]}
    assert second["state"] == "SUCCEEDED"
    assert steps["format_tape"] == "SKIPPED"
    [permit] = second["permits"]
    assert (permit["allowed"], permit["append"]) == (False, True)
    assert len(permit["reasons"]) > 1
    story = system.cli("runs", "show", str(second["id"])).stdout
    assert "denied" not in story, "a good append is no refusal"
    assert "wrote for" not in story, "in a moment no pace can be measured"
    [drive] = system.json("drive", "list")
    assert drive["medium"]["free"] < drive["medium"]["capacity"]
    assert first["set_id"] not in story
    dry = system.cli("format", "--dry-run", code=4).stdout
    assert dry.count(first["set_id"]) == 1
    assert "more reasons: --json" in dry
    [tape] = system.json("tape", "list")
    assert tape["generation"] == 1
    assert {s["id"] for s in tape["sets"]} == {first["set_id"], second["set_id"]}
    assert {s["state"] for s in tape["sets"]} == {"complete"}
    consumed = system.ask(
        lambda s: s.scalars(select(FormatPermit).where(FormatPermit.consumed_at.is_not(None))).all()
    )
    assert len(consumed) == 1
    assert system.announced() == ["success"] * 3


def _opens_with_standard_tools(folder: Path, source: Path, target: Path) -> None:
    """What README.txt on the tape promises."""
    target.mkdir()
    for archive in sorted(folder.glob("data-*")):
        command = f"zstd -dc '{archive}' | tar -x --xattrs -C '{target}'"
        subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)
    assert compare_trees(source, target / source.relative_to("/")) == []


def test_one_path_is_restored_and_nothing_else(system: System, source: Path, short_path: Path) -> None:
    """A folder of the set, found by its name; what exists in the target is kept."""
    system.insert_blank()
    system.schedule("monthly", source)
    system.start("control", "tape")
    run = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    found = system.json("sets", "find", "合同/2026", "--set", run["set_id"])
    assert found

    target = short_path / "restored"
    wanted = source / "合同"
    kept = target / str(wanted).lstrip("/") / "2026" / "文件-0001.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    system.cli("sets", "restore", run["set_id"], str(wanted), "--to", str(target))
    assert kept.read_text() == "mine"
    files = {path.relative_to(target) for path in target.rglob("*") if path.is_file()}
    assert files == {path.relative_to("/") for path in wanted.rglob("*") if path.is_file()}

    gone = system.cli("sets", "restore", run["set_id"], "/no/such/file", "--to", str(target), code=2)
    assert "/no/such/file" in gone.stderr


def test_all_failed_runs_are_retried_at_once(system: System, source: Path) -> None:
    """The newest of each schedule; an older one is left out and named, which is no failure (exit code 0). The
    story records who asked, and why."""
    system.schedule("a", source)
    system.schedule("b", source)
    system.start("control", "tape")
    ids = []
    for name in ("a", "a", "b"):
        ids.append(system.run_schedule(name))
        system.wait_for_state(ids[-1], "FAILED")
    system.insert_blank()
    retried = system.json("runs", "retry", "--all-failed", "--why", "the tape is in")
    assert retried == {
        "retried": [{"id": run_id, "state": "QUEUED"} for run_id in ids[1:]],
        "left": [
            {
                "id": ids[0],
                "superseded_by": ids[1],
                "reason": f"Run {ids[0]} is left as it is: run {ids[1]} of its schedule is newer.",
            }
        ],
        "refused": [],
    }
    for run_id in ids[1:]:
        assert system.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
        who = getpass.getuser()
        assert f"by {who}: the tape is in" in system.cli("runs", "show", str(run_id)).stdout
    assert system.json("runs", "show", str(ids[0]))["state"] == "FAILED"
    assert "No run has failed" in system.cli("runs", "retry", "--all-failed").stdout


def test_a_schedule_that_was_done_is_skipped_with_exit_code_3(system: System, source: Path) -> None:
    """A disabled schedule is refused: recorded, explained, announced as skipped, never as a success."""
    system.schedule("monthly", source, enabled=False)
    system.start("control")
    done = system.cli("schedule", "run", "monthly", code=3)
    assert "disabled" in done.stdout
    [run] = system.json("runs")
    assert run["state"] == "SKIPPED"
    system.wait_for(lambda: system.announced() == ["skipped"], "one message")


def test_json_has_the_names_that_scripts_rely_on(system: System, source: Path) -> None:
    """The names that scripts rely on (docs/operations.md, For scripts)."""
    system.insert_blank()
    system.schedule("monthly", source)
    system.start("control", "tape")
    system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    [run] = json.loads(system.cli("runs", "--json").stdout)
    assert set(run) >= {
        "id", "schedule", "kind", "trigger", "state", "reason", "period", "drive", "set_id", "started_at",
        "finished_at", "steps",
    }  # fmt: skip
    assert set(run["steps"][0]) >= {"name", "state", "attempts", "worker", "error"}
    [tape] = system.json("tape", "list")
    assert set(tape) >= {
        "id", "tape_id", "label", "generation", "state", "pool", "volume_uuid", "bytes_used", "capacity",
        "sets",
    }  # fmt: skip
    [stored] = tape["sets"]
    assert set(stored) >= {
        "id", "type", "state", "tapes", "files", "bytes", "archives", "finished_at", "retention_until",
    }  # fmt: skip
    datetime.fromisoformat(run["started_at"])
