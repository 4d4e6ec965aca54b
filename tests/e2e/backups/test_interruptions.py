"""A run is interrupted, through the real chain: workers end, messages are lost, a person cancels."""

from __future__ import annotations

import itertools
import signal
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from backup.compare import compare_trees
from cli import sample
from db.models import ChainRun, TapeCartridge
from tests.system import System, is_alive


def test_killing_the_tape_worker_leaves_a_run_that_is_explained_and_resumed(
    system: System, source: Path, short_path: Path
) -> None:
    """kill -9 of the tape worker in the middle of the backup: the story reports it, the new worker continues
    after the last sealed archive, nothing is formatted again, and the restored files are byte-equal."""
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


def _writing(system: System, source: Path, *, small: int) -> tuple[int, Path]:
    """A run that writes its first archive, with two readers ahead; returns it and the volume on its tape."""
    sample.make(source / "more", large=1 << 20, small=small)
    volume = system.insert_blank(speed=12 << 20)
    # A buffer that held all of it would leave nothing to hand over.
    system.configure_drive(buffer_bytes=16 << 20, readers=2)
    system.schedule("monthly", source, template={"compression": "none"})
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for(lambda: list(volume.glob("sets/*/data-*")), "the first archive")
    return run_id, volume


def test_a_warm_shutdown_seals_and_hands_the_run_over(system: System, source: Path, short_path: Path) -> None:
    """SIGTERM: the worker seals what it has, ends within seconds with its readers, and the next one
    continues from there."""
    run_id, volume = _writing(system, source, small=1200)
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
    """kill -9 in the middle of the backup: the processes that read ahead end with it and lock nothing, so
    that the next worker gets the drive at once and the run continues."""
    run_id, _ = _writing(system, source, small=600)
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
    """The run ends as cancelled within seconds, the tape keeps what was sealed, the drive is free. Taken up
    again, it completes the same set without a second format."""
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
    system.wait_for(lambda: system.announced() == ["cancelled"], "one message")
    system.cli("runs", "retry", str(run_id), "--why", "it is wanted after all")
    run = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert run["state"] == "SUCCEEDED", run
    [stored] = system.json("sets", "list")
    assert (stored["id"], stored["state"]) == (run["set_id"], "complete")
    assert system.ask(lambda s: s.scalars(select(TapeCartridge.generation)).all()) == [1]
    following = system.wait_for_state(system.run_schedule("monthly"), "RUNNING", "SUCCEEDED")
    assert following["id"] != run_id


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
