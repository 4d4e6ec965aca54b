"""One full backup through the real chain: real workers, real Redis, real PostgreSQL, a virtual drive."""

from __future__ import annotations

import getpass
import itertools
import json
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from backup.compare import compare_trees
from cli import sample
from db.models import BackupSet, ChainRun, Drive, FormatPermit, Notification, TapeCartridge
from db.states import STEPS, Kind
from tape.hostlock import HostLock
from tape.virtual import record as virtual_record
from tape.virtual import shelf
from tests.system import System, is_alive

LABEL = f"TP{datetime.now(UTC):%Y%m}01"
GB = 10**9
OLD = datetime(2024, 10, 15, tzinfo=UTC)


@pytest.fixture
def source(short_path: Path) -> Path:
    """Files of mixed sizes, names in Chinese, links, empty files, a sparse one."""
    folder = short_path / "source"
    sample.make(folder, large=2 << 20, small=60)
    return folder


def test_a_full_backup_passes_through_the_six_steps(system: System, source: Path, short_path: Path) -> None:
    """Formatted under a permit, labelled, written, sealed, catalogued, announced; restored byte for byte;
    readable with tar and zstd alone; run again in the month, it appends and never formats."""
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
    assert permit["label"] == LABEL

    [tape] = system.json("tape", "list")
    assert (tape["tape_id"], tape["label"], tape["generation"], tape["state"]) == (LABEL, LABEL, 1, "active")
    assert tape["bytes_used"] > 0
    [stored] = system.json("sets", "list")
    assert (stored["id"], stored["state"], stored["tapes"]) == (first["set_id"], "complete", [LABEL])

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
    assert _events(system) == ["success"] * 3


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


@pytest.mark.parametrize("inserted", ["nothing", "foreign", "unreadable", "protected"])
def test_a_wrong_tape_is_refused_and_not_touched(system: System, source: Path, inserted: str) -> None:
    """Refused with the reason, one message, nothing written; with the right tape the same run goes on."""
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
    system.wait_for(lambda: _events(system) == ["failed"], "one message")

    system.insert_blank("A00002L9")
    start = "precheck" if inserted == "protected" else None
    system.cli(
        "runs", "retry", str(run_id), *(["--from", start] if start else []), "--why", "the right tape is in"
    )
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    assert _events(system) == ["failed", "success"]


def _events(system: System) -> list[str]:
    """What was announced of runs, but for the starts; on a month's last day the next run's tape is, too."""
    of_runs = Notification.event.not_in(["started", "reminder", "ready"])
    said = select(Notification.event).where(of_runs).order_by(Notification.id)
    return list(system.ask(lambda s: s.scalars(said).all()))


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
    assert (tape["tape_id"], tape["label"], tape["generation"]) == (LABEL, LABEL, 2)
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


def test_all_failed_runs_are_retried_at_once(system: System, source: Path) -> None:
    """The newest of each schedule; an older one is left and named, and that is no failure (exit code 0). The
    story says who asked, and why."""
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
    system.wait_for(lambda: _events(system) == ["skipped"], "one message")


def test_killing_the_tape_worker_leaves_a_run_that_is_explained_and_resumed(
    system: System, source: Path, short_path: Path
) -> None:
    """kill -9 of the tape worker in the middle of the backup: the story says so, the new worker goes on after
    the last sealed archive, nothing is formatted again, and what is restored is byte-equal."""
    sample.make(source / "more", large=12 << 20, small=10)
    volume = system.insert_blank(speed=8 << 20)
    system.schedule("monthly", source, template={"archive_bytes": 4 << 20, "compression": "none"})
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for(lambda: len(list(volume.glob("sets/*/index-*"))) >= 3, "three archives")
    system.kill("tape")
    set_id = system.json("runs", "show", str(run_id))["set_id"]
    sealed = system.json("sets", "list")[0]["archives"]

    system.start("tape")
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    assert done["set_id"] == set_id
    steps = {step["name"]: step["attempts"] for step in done["steps"]}
    assert (steps["format_tape"], steps["run_backup"]) == (1, 2)
    assert sealed >= 1
    story = system.cli("runs", "show", str(run_id)).stdout
    assert "died" in story
    assert "Resumed from run_backup" in story
    assert system.ask(lambda s: s.scalars(select(TapeCartridge.generation)).all()) == [1]

    restored = short_path / "restored"
    system.cli("sets", "restore", set_id, "--to", str(restored))
    assert compare_trees(source, restored / source.relative_to("/")) == []


def test_a_warm_shutdown_seals_and_hands_the_run_over(system: System, source: Path, short_path: Path) -> None:
    """SIGTERM: the worker seals what it has, ends within seconds with its readers, and the next one goes on
    from there."""
    sample.make(source / "more", large=1 << 20, small=1200)
    volume = system.insert_blank(speed=12 << 20)
    # A buffer that held all of it would leave nothing to hand over.
    system.configure_drive(buffer_bytes=16 << 20, readers=2)
    system.schedule("monthly", source, template={"compression": "none"})
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for(lambda: list(volume.glob("sets/*/data-*")), "the first archive")
    readers = system.child_of("tape").children()
    assert len(readers) == 3  # Two that read ahead, and the one that looks at the source.
    system.kill("tape", signal.SIGTERM)
    run = system.json("runs", "show", str(run_id))
    assert run["state"] == "RUNNING"
    assert next(s["state"] for s in run["steps"] if s["name"] == "run_backup") == "PENDING"
    assert system.json("sets", "list")[0]["archives"] == 1
    assert len(list(volume.glob("sets/*/index-*"))) == 1
    assert not any(map(is_alive, readers))

    system.start("tape")
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    assert "died" not in system.cli("runs", "show", str(run_id)).stdout
    restored = short_path / "restored"
    system.cli("sets", "restore", done["set_id"], "--to", str(restored))
    assert compare_trees(source, restored / source.relative_to("/")) == []


@pytest.mark.parametrize("killed", ["the child", "the worker"])
def test_no_reader_outlives_the_worker_that_was_killed(system: System, source: Path, killed: str) -> None:
    """kill -9 in the middle of the backup: the processes that read ahead end with it and hold nothing, so
    that the next worker has the drive at once and the run goes on."""
    sample.make(source / "more", large=1 << 20, small=600)
    volume = system.insert_blank(speed=12 << 20)
    system.configure_drive(buffer_bytes=16 << 20, readers=2)
    system.schedule("monthly", source, template={"compression": "none"})
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for(lambda: list(volume.glob("sets/*/data-*")), "the first archive")
    child = system.child_of("tape")
    readers = child.children()
    assert len(readers) == 3  # Two that read ahead, and the one that looks at the source.
    if killed == "the child":
        child.kill()
    else:
        system.kill("tape")
    system.wait_for(lambda: not any(map(is_alive, readers)), "the readers to end", patience=5)
    if killed == "the worker":
        system.start("tape")
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done


def test_cancelling_stops_at_a_safe_point(system: System, source: Path) -> None:
    """The run ends as cancelled within seconds, the tape keeps what was sealed, the drive is free."""
    sample.make(source / "more", large=12 << 20, small=10)
    volume = system.insert_blank(speed=4 << 20)
    system.schedule("monthly", source, template={"archive_bytes": 2 << 20, "compression": "none"})
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for(lambda: list(volume.glob("sets/*/index-*")), "an archive")
    system.cli("runs", "cancel", str(run_id))
    run = system.wait_for_state(run_id, "CANCELLED", "SUCCEEDED", "FAILED")
    assert run["state"] == "CANCELLED"
    assert system.json("sets", "list")[0]["state"] == "incomplete"
    system.wait_for(lambda: _events(system) == ["cancelled"], "one message")
    following = system.wait_for_state(system.run_schedule("monthly"), "RUNNING", "SUCCEEDED")
    assert following["id"] != run_id


def test_a_run_waits_for_its_tape_where_the_schedule_says_so(system: System, source: Path) -> None:
    """wait_for_tape: the run gives the drive back, exit code 4 says that somebody is needed, and it goes on
    by itself when a blank tape is in."""
    system.schedule("monthly", source, wait_for_tape_seconds=3600)
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for_state(run_id, "WAITING_FOR_TAPE")
    assert "There is no tape in drive tape0" in system.cli("status", code=4).stdout
    assert "waits until" in system.cli("drive", "status", code=4).stdout
    system.start_beat()
    system.insert_blank()
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    system.wait_for(lambda: _events(system)[-1] == "success", "the last message")


def test_a_tape_that_cannot_be_mounted_is_not_tried_at_each_look(system: System, source: Path) -> None:
    """Each try wears it: the run leaves it alone for a while, until an operator has done something at the
    drive, and then goes on by itself."""
    system.schedule("monthly", source, wait_for_tape_seconds=3600)
    system.environment["TAPELINE_RECOVER_SECONDS"] = "0.5"
    system.start("control", "tape")
    system.insert_blank()
    barcode = shelf.inserted(system.drive.path)
    assert barcode
    cannot = {"at": "mount", "error": "unreadable", "times": 9}
    shelf.set_faults(system.drive.path, barcode, [cannot])
    run_id = system.run_schedule("monthly")
    system.wait_for_state(run_id, "WAITING_FOR_TAPE")
    system.start_beat()
    system.wait_for(lambda: system.log("tape").count(b"tapeline.look[") >= 3, "looks")
    with shelf.edit(system.drive.path, barcode) as record:
        assert [fault.times for fault in record.faults] == [8]
    assert "is tried again in 10 min" in system.cli("runs", "show", str(run_id)).stdout
    shelf.set_faults(system.drive.path, barcode, [])
    system.cli("drive", "check")
    assert system.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"


def test_who_waits_for_a_tape_is_told_of_each_wrong_one_and_reminded(system: System, source: Path) -> None:
    """One message when it begins to wait, one when another wrong tape is in, a reminder every so often;
    at the deadline the run fails."""
    system.schedule("monthly", source, wait_for_tape_seconds=3600)
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for_state(run_id, "WAITING_FOR_TAPE")
    system.insert_blank()
    assert system.drive.format("PHOTOS").return_code == 0
    system.start_beat()
    system.wait_for(lambda: _events(system) == ["waiting_for_tape"] * 2, "word of the other wrong tape")
    assert "PHOTOS" in str(system.json("runs", "show", str(run_id))["reason"])
    system.kill("control")
    system.environment["TAPELINE_REMINDER_SECONDS"] = "2"
    system.start("control")
    system.wait_for(lambda: len(_events(system)) >= 4, "two reminders")

    def expire(session: object) -> None:
        session.get(ChainRun, run_id).wait_until = datetime.now(UTC)  # type: ignore[attr-defined]

    system.ask(expire)
    assert "in time" in str(system.wait_for_state(run_id, "FAILED")["reason"])
    system.wait_for(lambda: _events(system)[-1] == "failed", "the last message")


def test_a_dry_run_says_what_a_format_would_cost_and_touches_nothing(system: System, source: Path) -> None:
    """Blank: permitted. With this month's data: it would append. For any drive: its worker looks, and where
    several schedules use it, one is to be named."""
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
    assert drive["medium"]["label"] == LABEL
    system.schedule("weekly", source)
    assert "monthly, weekly" in system.cli(*dry, code=2).stderr
    system.kill("tape")
    with system.database.transaction() as session:
        row = session.get_one(Drive, "tape0")
        row.host, row.last_seen_at = "backup-host", datetime(2026, 1, 1, tzinfo=UTC)
    silent = system.cli(*dry, "--schedule", "weekly", code=1)
    assert "The worker of drive tape0 on backup-host was last heard of" in silent.stderr


def test_a_tape_is_erased_only_by_its_name(system: System, source: Path) -> None:
    """A kept set on a tape of another month: refused; a run by hand that names its label erases it, and keeps
    the label where that is wished. What was lost is listed as destroyed everywhere."""
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


def test_runs_of_one_drive_never_overlap(system: System, source: Path) -> None:
    """Three schedules at once on one drive: each has its turn, in order of arrival."""
    system.insert_blank()
    for name in ("a", "b", "c"):
        system.schedule(name, source)
    system.start("control", "tape")
    ids = [system.run_schedule(name) for name in ("a", "b", "c")]
    for run_id in ids:
        assert system.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    rows = system.ask(lambda s: s.scalars(select(ChainRun).order_by(ChainRun.id)).all())
    for earlier, later in itertools.pairwise(rows):
        assert earlier.finished_at <= later.started_at


def test_messages_lost_by_the_broker_are_sent_again(
    system: System, source: Path, broker_client: object
) -> None:
    """Redis flushed between two steps: recover finds the run and sends it again."""
    system.insert_blank()
    system.schedule("monthly", source)
    system.start("control")
    run_id = system.run_schedule("monthly")
    system.wait_for_state(run_id, "RUNNING")
    time.sleep(0.2)
    broker_client.flushall()  # type: ignore[attr-defined]
    system.start("tape")
    system.start_beat()
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    assert "is sent again" in system.cli("runs", "show", str(run_id)).stdout


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
    assert system.drive.format(LABEL).return_code == 0
    system.cli("runs", "retry", str(failed["id"]), "--from", "precheck")
    again = system.wait_for_state(failed["id"], "FAILED", "SUCCEEDED")
    assert again["state"] == "SUCCEEDED", again
    assert again["part"] == 2
    assert [permit["part"] for permit in again["permits"] if permit["consumed_at"]] == [1, 2]
    sets = {s["id"]: (s["state"], s["tapes"]) for s in system.json("sets", "list")}
    assert sets[kept["set_id"]] == ("complete", [LABEL])
    assert sets[again["set_id"]] == ("complete", [f"{LABEL[:-2]}02"])
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
    assert LABEL in str(failed["reason"])
    assert not other.exists()
    shelf.insert(system.drive.path, "A00001L9")
    system.cli("runs", "retry", str(run_id))
    done = system.wait_for_state(run_id, "FAILED", "SUCCEEDED")
    assert done["state"] == "SUCCEEDED", done
    restored = short_path / "restored"
    system.cli("sets", "restore", done["set_id"], "--to", str(restored))
    assert compare_trees(source, restored / source.relative_to("/")) == []


def test_a_label_that_does_not_come_in_time_is_waited_for(system: System, source: Path) -> None:
    """The drive does not answer twice; the step tells so once, tries again, and the run succeeds."""
    system.insert_blank()
    slow = [{"at": "look", "error": "slow", "nth": number, "seconds": 60.0} for number in (1, 2)]
    shelf.set_faults(system.drive.path, "A00001L9", slow)
    system.environment["TAPELINE_CONFIG"] = str(system.folder / "tapeline.toml")
    (system.folder / "tapeline.toml").write_text(
        f'[drives.tape0]\ndriver = "virtual"\npath = "{system.drive.path}"\nlabel_limit_seconds = 0.5\n'
    )
    system.schedule("monthly", source)
    system.start("control", "tape")
    run = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert run["state"] == "SUCCEEDED", run
    story = [json.dumps(event["message"]) for event in run["events"]]
    assert len([line for line in story if "Trying again" in line]) == 1


def test_a_format_that_cannot_begin_is_waited_for(system: System, source: Path) -> None:
    """Somebody holds the drive: that is no format that failed, whatever the schedule says of those."""
    system.insert_blank()
    system.schedule("monthly", source, on_format_failure="continue")
    system.start("control", "tape")
    with HostLock(system.drive.path / shelf.MOUNT_LOCK):
        run_id = system.run_schedule("monthly")
        system.wait_for(lambda: "Trying again" in system.cli("runs", "show", str(run_id)).stdout, "patience")
    run = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert run["state"] == "SUCCEEDED", run
    assert virtual_record.read(shelf.folder_of(system.drive.path, "A00001L9")).formats == 1
    [permit] = system.ask(lambda session: session.scalars(select(FormatPermit)).all())
    assert (permit.part, permit.outcome["ok"]) == (1, True)


def test_an_operator_says_what_may_be_done_with_a_cartridge(system: System, source: Path) -> None:
    """A retired one is refused, an active one is used again; what a run works with does not change."""
    system.insert_blank(speed=300 << 10)
    system.schedule("monthly", source)
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for(lambda: system.ask(lambda s: s.scalars(select(BackupSet.id)).all()), "the set to begin")
    refused = system.cli("tape", "mark", LABEL, "retired", code=1)
    assert f"Run {run_id} uses tape {LABEL} now" in refused.stderr
    assert system.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    system.cli("tape", "mark", LABEL, "retired")
    failed = system.wait_for_state(system.run_schedule("monthly"), "FAILED", "SUCCEEDED")
    assert "retired" in str(failed["reason"])
    assert system.json("tape", "mark", LABEL, "active")["state"] == "active"
    system.cli("runs", "retry", str(failed["id"]))
    assert system.wait_for_state(failed["id"], "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    system.cli("tape", "mark", "TP20010101", "active", code=2)
