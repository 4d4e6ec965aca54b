"""``tapeline health``: what containers and services ask to learn whether a process does its work."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from tests.dashboard.dashboard import Dashboard
from tests.system import System


@pytest.fixture
def named(system: System, short_path: Path) -> System:
    """Workers with names that no other installation on this machine has."""
    system.start("control", arguments=("-n", f"control@{short_path.name}"))
    system.start("tape", arguments=("-n", f"tape@{short_path.name}"))
    return system


def _healthy(system: System, *names: str) -> dict[str, bool]:
    return {finding["check"]: finding["ok"] for finding in system.json("health", *names)}


def test_each_process_is_asked_in_its_own_way(named: System, short_path: Path) -> None:
    """Workers and beat answer through the broker, a tape worker keeps its drive, the dashboard answers."""
    workers = [f"control@{short_path.name}", f"tape@{short_path.name}"]
    assert _healthy(named, *workers) == dict.fromkeys(workers, True)
    named.start_beat()
    named.environment["TAPELINE_FLOWER__PORT"] = str(Dashboard(named).port)
    named.wait_for(lambda: all(_healthy(named, "beat", "flower").values()), "beat and the dashboard")
    named.environment["TAPELINE_FLOWER__PORT"] = "1"
    assert "does not answer" in named.cli("health", "flower", code=1).stdout


def test_processes_of_another_installation_on_this_host_are_left_out(named: System, tmp_path: Path) -> None:
    """Whatever else runs on this machine, each installation asks its own, whether a file names the broker or
    the environment does."""
    assert _healthy(named) == {"control": True, "tape": True}
    broker_url = named.environment.pop("TAPELINE_BROKER_URL")
    file = tmp_path / "tapeline.toml"
    named.environment["TAPELINE_CONFIG"] = str(file)
    file.write_text(f'broker_url = "{broker_url}"\n')
    assert _healthy(named) == {"control": True, "tape": True}
    file.write_text('broker_url = "redis://127.0.0.1:1/0"\n')
    assert "None of this installation's processes" in named.cli("health", code=1).stdout


def test_what_hangs_or_is_gone_is_named(named: System, short_path: Path) -> None:
    """The others are asked all the same."""
    control, tape = f"control@{short_path.name}", f"tape@{short_path.name}"
    worker = psutil.Process(named.processes["control"].pid)
    worker.suspend()
    assert _healthy(named, control, tape, "tape.none") == {control: False, tape: True, "tape.none": False}
    worker.resume()
    assert named.cli("health", control)


def test_a_tape_worker_that_does_not_keep_its_drive_is_not_healthy(named: System, short_path: Path) -> None:
    """An answer through the broker is not enough: it says in the database, too, that it lives."""
    named.ask(lambda session: session.execute(text("UPDATE drives SET worker = 'tape@elsewhere'")))
    found = named.cli("health", f"tape@{short_path.name}", code=1)
    assert "keeps drive tape0" in found.stdout
