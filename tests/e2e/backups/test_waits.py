"""Every wait ends: a source that never answers, a step that stands still, a drive without a worker."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from sqlalchemy import select

from db.models import Notification
from policy.message import Message
from tests.mounts import mounted, needs_fuse
from tests.system import TIMEOUT, System


def said(system: System, run: int, event: str) -> list[str]:
    """The reasons that were announced for an event of a run."""
    rows = system.ask(
        lambda session: session.scalars(
            select(Notification.facts).where(Notification.run_id == run, Notification.event == event)
        ).all()
    )
    return [str(Message.from_json(facts["reason"])) for facts in rows]


@pytest.fixture
def quick(system: System) -> System:
    """An installation that has little patience."""
    system.environment["TAPELINE_STALLED_AFTER_SECONDS"] = "12"
    system.environment["TAPELINE_STALLED_FAILS_AFTER_SECONDS"] = "600"
    system.insert_blank()
    system.start("control", "tape")
    system.start_beat()
    return system


@needs_fuse
def test_a_source_that_never_answers(quick: System) -> None:
    """It is named in story, Today and message while the heart beats; cancel ends it, and so does a stop."""
    with mounted(quick.folder, "read") as point:
        quick.schedule("dead", point)
        run = quick.run_schedule("dead")
        quick.wait_for(lambda: said(quick, run, "stalled"), "an alert")
        assert f"waits for {point}/hangs, which does not answer" in said(quick, run, "stalled")[0]
        assert quick.json("runs", "show", str(run))["state"] == "RUNNING"
        quick.cli("runs", "cancel", str(run))
        quick.wait_for_state(run, "CANCELLED")
        again = quick.run_schedule("dead")
        quick.wait_for(lambda: waits(quick, again), "the second run to come to the file")
        # The worker is asked to end, and ends; who asked the source is left behind until it is let go.
        worker = quick.processes.pop("tape")
        worker.send_signal(signal.SIGTERM)
        worker.wait(TIMEOUT)
        assert not running(quick, again)


@needs_fuse
def test_a_source_that_is_given_up(quick: System) -> None:
    """After hours the run fails with the name of what did not answer, and the drive is free."""
    quick.kill("tape", signal.SIGTERM)
    quick.environment["TAPELINE_STALLED_AFTER_SECONDS"] = "1"
    quick.environment["TAPELINE_STALLED_FAILS_AFTER_SECONDS"] = "2"
    quick.start("tape")
    (quick.folder / "sound").mkdir()
    with mounted(quick.folder, "root") as point:
        quick.schedule("dead", point)
        quick.schedule("sound", quick.folder / "sound")
        run = quick.run_schedule("dead")
        assert "does not answer" in str(quick.wait_for_state(run, "FAILED")["reason"])
        other = quick.run_schedule("sound")
        quick.wait_for_state(other, "SUCCEEDED")


def waits(system: System, run: int) -> bool:
    return bool(running(system, run) == ["run_backup"] and story(system, run, "Planned:"))


def story(system: System, run: int, text: str) -> bool:
    return text in system.cli("runs", "show", str(run), code=None).stdout


def running(system: System, run: int) -> list[Any]:
    return [
        step["name"] for step in system.json("runs", "show", str(run))["steps"] if step["state"] == "RUNNING"
    ]


def test_a_step_that_stands_still_is_cancelled_without_it(quick: System) -> None:
    """Its process is stopped in the middle: nothing that others wait for depends on it."""
    source = quick.folder / "source"
    source.mkdir()
    (source / "file").write_bytes(b"x" * 100_000)
    quick.configure_drive()
    child = quick.child_of("tape")
    child.send_signal(signal.SIGSTOP)
    quick.schedule("plain", source)
    run = quick.run_schedule("plain")
    quick.wait_for(lambda: said(quick, run, "stalled"), "an alert", 90)
    assert "no worker takes its next step" in said(quick, run, "stalled")[0]
    quick.cli("runs", "cancel", str(run))
    quick.wait_for_state(run, "CANCELLED")
    child.send_signal(signal.SIGCONT)
    quick.wait_for_state(quick.run_schedule("plain"), "SUCCEEDED")


def test_a_run_whose_drive_has_no_worker(system: System) -> None:
    """It has its drive, and nobody works there: a message with its name, and a line of status and Today."""
    source = system.folder / "source"
    source.mkdir()
    system.start("control")
    system.start_beat()
    system.schedule("plain", source)
    run = system.run_schedule("plain")
    system.wait_for(lambda: said(system, run, "stalled"), "an alert")
    assert f"Run {run} has drive tape0, which never had a worker" in said(system, run, "stalled")[0]
    assert "never had a worker" in system.cli("status", code=None).stdout
