"""Worker guards: a tape worker starts alone, with one process, on one queue, or says in one line why not."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import Celery
from sqlalchemy import select

from celery_app.config import KEY_PREFIX
from db.models import BackupSet
from tape.virtual import shelf
from tests.system import System, is_alive


def refused(system: System, *arguments: str, **environment: str) -> str:
    """Start a worker that must not start; its one line."""
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "celery_app", "worker", *arguments],
        env={**system.environment, **environment},
        cwd=system.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 1, done
    [line] = [line for line in done.stderr.splitlines() if line.startswith("tapeline:")]
    return line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-Q", "tape", "-c", "2"], "concurrency 1, not 2"),
        (["-Q", "tape", "--autoscale=3,1"], "autoscale"),
        (["-Q", "tape", "-c", "1", "-P", "solo"], "not 'solo'"),
        (["-Q", "tape,control", "-c", "1"], "one tape queue"),
        (["-c", "1"], "-Q control"),
        (["-Q", "tape.nonsense", "-c", "1"], "nonsense"),
    ],
)
def test_a_worker_that_would_not_be_alone_on_its_drive_is_refused(
    system: System, arguments: list[str], says: str
) -> None:
    """One line names what is wrong and how to start it; exit code 1."""
    assert says in refused(system, *arguments)


def test_a_second_worker_of_a_drive_is_refused(system: System) -> None:
    """On the same host by the lock file, on another by the database; a killed one frees the drive."""
    system.start("tape")
    assert "tape0" in refused(system, "-Q", "tape", "-c", "1", "-n", "second@test")
    elsewhere = str(system.folder / "other-host")
    assert "Another tape worker holds drive tape0" in refused(
        system, "-Q", "tape", "-c", "1", "-n", "second@test", TAPELINE_STATE_DIR=elsewhere
    )
    system.kill("tape")
    system.start("tape")


def test_without_its_database_a_worker_says_so(system: System) -> None:
    """One line with the remedy, and no traceback."""
    away = "postgresql+psycopg2://u:secret@127.0.0.1:1/x"
    line = refused(system, "-Q", "tape", "-c", "1", TAPELINE_DATABASE_URL=away)
    assert "does not answer" in line
    assert "secret" not in line


def test_a_worker_answers_while_it_backs_up_and_its_pool_cannot_be_changed(system: System) -> None:
    """Ping, inspect and revoke are answered in the middle of a backup; growing the pool or adding a queue is
    refused."""
    shelf.new_cartridge(system.drive.path, "A00001L9", capacity=10**9, speed=10_000)
    shelf.insert(system.drive.path, "A00001L9")
    source = a_file(system)
    (source / "slow").write_bytes(bytes(2_000_000))
    system.schedule("monthly", source, template={"compression": "none"})
    system.start("tape", "control")
    run_id = system.run_schedule("monthly")
    system.wait_for(lambda: system.ask(lambda s: s.scalars(select(BackupSet.id)).all()), "the backup")
    with remote(system) as control:
        for command, arguments in (
            ("pool_grow", {"n": 1}),
            ("add_consumer", {"queue": "control"}),
            ("autoscale", {"max": 3, "min": 1}),
        ):
            [answer] = control.broadcast(
                command, arguments=arguments, destination=[TAPE], reply=True, timeout=10
            )
            assert "nothing was changed" in answer[TAPE]["error"]
        assert b"Traceback" not in system.log("tape")
        asked = control.inspect(destination=[TAPE], timeout=10)
        assert control.ping(destination=[TAPE], timeout=10) == [{TAPE: {"ok": "pong"}}]
        assert [queue["name"] for queue in asked.active_queues()[TAPE]] == ["tape"]
        assert [task["id"] for task in asked.active()[TAPE]] == [f"run{run_id}-1-5-run_backup"]
        control.revoke("another-message", destination=[TAPE], reply=True, timeout=10)
        assert asked.revoked()[TAPE] == ["another-message"]
    assert system.child_of("tape").is_running()
    assert system.json("runs", "show", str(run_id))["state"] == "RUNNING"


TAPE = "tape@test"


@contextmanager
def remote(system: System) -> Iterator[Any]:
    """Remote control of the system's workers, as Flower has it."""
    app = Celery("tests", broker=system.environment["TAPELINE_BROKER_URL"], set_as_current=False)
    app.conf.broker_transport_options = {"global_keyprefix": KEY_PREFIX}
    try:
        yield app.control
    finally:
        app.close()


def test_a_drive_is_registered_by_its_worker(system: System, short_path: Path) -> None:
    """'drive list' names host, queue and worker, and what is in it once somebody has looked."""
    system.start("tape")
    [drive] = system.json("drive", "list")
    assert (drive["name"], drive["driver"], drive["queue"]) == ("tape0", "virtual", "tape")
    assert drive["worker"] == "tape@test"


def test_beat_sends_recover(system: System) -> None:
    """The beat of the README keeps the pipeline looked after."""
    system.start("control")
    system.start_beat()
    system.wait_for(lambda: b"tapeline.recover" in system.log("control"), "recover to run", patience=90)
    time.sleep(0.1)


class Dashboard:
    """Flower, behind a login."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.port = free_port()
        system._spawn(
            "flower", "flower", f"--port={self.port}", "--address=127.0.0.1", "--basic-auth=me:secret"
        )
        system.wait_for(lambda: b"Connected to" in system.log("flower"), "flower")
        time.sleep(1)

    def ask(self, path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data=json.dumps(body).encode() if body else None
        )
        request.add_header("Authorization", "Basic bWU6c2VjcmV0")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return dict(json.load(answer))


def a_file(system: System) -> Path:
    source = system.folder / "source"
    source.mkdir()
    (source / "file.txt").write_text("content")
    return source


def test_the_dashboard_shows_the_tasks_of_a_run_by_name(system: System) -> None:
    """Flower lists the six tasks with run and step in their ids."""
    system.insert_blank()
    system.schedule("monthly", a_file(system))
    dashboard = Dashboard(system)
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    names = ["precheck", "create_record", "format_tape", "update_label", "run_backup", "notify"]
    wanted = {f"run{run_id}-1-{number}-{name}": f"tapeline.{name}" for number, name in enumerate(names, 1)}

    def seen() -> bool:
        found = {task_id: task["name"] for task_id, task in dashboard.ask("/api/tasks").items()}
        return wanted.items() <= found.items()

    system.wait_for(seen, "the six tasks in Flower")


def test_a_failed_run_is_retried_through_flowers_api(system: System) -> None:
    """The same rules and results as on the command line: it goes on; asked again, it is refused."""
    system.schedule("monthly", a_file(system))
    dashboard = Dashboard(system)
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for_state(run_id, "FAILED")
    system.insert_blank()
    retry = {
        "kwargs": {"run_id": run_id, "requested_by": "dashboard", "why": "tape is in"},
        "queue": "control",
    }
    dashboard.ask("/api/task/async-apply/tapeline.retry", retry)
    assert system.wait_for_state(run_id, "SUCCEEDED")["state"] == "SUCCEEDED"
    story = system.cli("runs", "show", str(run_id)).stdout
    assert "by dashboard: tape is in" in story
    asked = dashboard.ask("/api/task/async-apply/tapeline.retry", retry)["task-id"]
    system.wait_for(
        lambda: b"only a FAILED or CANCELLED run can be retried" in system.log("control"), "the refusal"
    )
    assert b"Traceback" not in system.log("control")
    told = system.wait_for(lambda: shown(dashboard, asked), "the refusal in Flower")
    assert "only a FAILED or CANCELLED run can be retried" in str(told["result"])
    assert not told["traceback"]
    assert system.json("runs", "show", str(run_id))["state"] == "SUCCEEDED"


def shown(dashboard: Dashboard, task: str) -> dict[str, Any] | None:
    """What Flower shows of a task that was refused, once it does."""
    found = dashboard.ask(f"/api/task/info/{task}")
    return found if found["state"] == "REFUSED" else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_worker_whose_pool_takes_no_task_ends_to_be_started_anew(system: System) -> None:
    """Its process hangs before the first task: nobody would notice, so it ends; the next one goes on."""
    source = system.folder / "source"
    source.mkdir()
    shelf.new_cartridge(system.drive.path, "A00001L9", capacity=10**9)
    shelf.insert(system.drive.path, "A00001L9")
    system.schedule("monthly", source)
    system.environment["TAPELINE_POOL_PATIENCE_SECONDS"] = "2"
    system.start("control", "tape")
    worker, child = system.processes["tape"], system.child_of("tape")
    child.suspend()
    run_id = system.run_schedule("monthly")
    assert worker.wait(30) == 70
    assert b"takes no task" in system.log("tape")
    system.wait_for(lambda: not is_alive(child), "its process to end as well")
    del system.processes["tape"]
    system.environment["TAPELINE_POOL_PATIENCE_SECONDS"] = "60"
    (system.folder / "tape.log").rename(system.folder / "tape.before.log")
    system.start("tape")
    assert system.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"


def test_a_control_worker_whose_pool_takes_no_task_ends_too(system: System) -> None:
    """All of its processes hang: no run would be recovered and nobody told, so it ends."""
    source = system.folder / "source"
    source.mkdir()
    system.schedule("monthly", source)
    system.environment["TAPELINE_POOL_PATIENCE_SECONDS"] = "2"
    system.start("control")
    worker = system.processes["control"]
    children = psutil.Process(worker.pid).children()
    for child in children:
        child.suspend()
    system.start("tape")
    run_id = system.run_schedule("monthly")
    assert worker.wait(60) == 70
    assert b"takes no task" in system.log("control")
    system.wait_for(lambda: not any(map(is_alive, children)), "its processes to end as well")
    del system.processes["control"]
    (system.folder / "control.log").rename(system.folder / "control.before.log")
    system.start("control")
    system.start_beat()
    assert system.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "FAILED"
