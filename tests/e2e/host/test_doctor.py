"""``tapeline doctor``: each thing that can be wrong on a drive host, made wrong, is found with its remedy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import flower
import pytest
import redis
from sqlalchemy import text

from dashboard.templating import NEWEST
from db.admin import processes
from db.admin.processes import ProcessSettings
from tests.system import System

REPOSITORY = Path(__file__).parents[3]
ROOT = sys.platform == "linux" and os.geteuid() == 0


def wrong(system: System) -> dict[str, str]:
    """What the doctor finds wrong, and says of it; each has something to do about it."""
    findings = [finding for finding in system.json("doctor") if not finding["ok"]]
    assert all(finding["remedy"] for finding in findings)
    return {finding["check"]: f"{finding['detail']} {finding['remedy']}" for finding in findings}


def drive(system: System, **settings: Any) -> None:
    system.environment["TAPELINE_DRIVES"] = json.dumps({"tape0": settings})


@contextmanager
def mounted(point: Path, *options: str) -> Iterator[Path]:
    """A small file system of its own."""
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(point)], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], check=True)


def test_who_is_told(system: System) -> None:
    """Without a channel nobody is; on the host of a drive alone those of the control host count."""
    assert "nobody learns how a run went" in wrong(system)["Channels"]
    reading = {"file": None, "read_at": datetime.now(UTC), "behind": [], "problem": None}
    far = ProcessSettings(name="control@far", host="far", channels=["mail"], **reading)
    system.ask(lambda session: processes.enter(session, far))
    [channels] = [each for each in system.json("doctor") if each["check"] == "Channels"]
    assert (channels["ok"], channels["detail"]) == (True, "mail")


def test_what_is_to_be_thought_of_is_not_wrong(system: System) -> None:
    """It has a mark of its own, a remedy, and does not count for the exit code's sake."""
    [found] = [each for each in system.json("doctor") if each["check"] == "Schedules"]
    assert (found["ok"], found["warning"]) == (True, True)
    assert "schedule apply" in found["remedy"]
    [line] = [line for line in system.cli("doctor", code=1).stdout.splitlines() if "Schedules" in line]
    assert line.strip().startswith("!")


def test_the_database(system: System) -> None:
    """Clocks that are apart, tables of another version, and a database that is away."""
    with system.database.transaction() as session:
        name = session.scalar(text("SELECT current_database()"))
        session.execute(
            text(
                "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS "
                "$$ SELECT pg_catalog.clock_timestamp() - interval '1 hour' $$"
            )
        )
        session.execute(text(f'ALTER DATABASE "{name}" SET search_path = public, pg_catalog'))
    assert "3600 s apart. Set both by NTP" in wrong(system)["Database"]
    with system.database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert "tapeline migrate" in wrong(system)["Database"]
    system.environment["TAPELINE_DATABASE_URL"] = "postgresql+psycopg2://u:secret@127.0.0.1:1/x"
    assert "does not answer" in wrong(system)["Database"]


def test_the_broker(system: System, broker_client: redis.Redis) -> None:
    """Redis that forgets with its power, that throws messages away, or that is not there."""
    before = {name: broker_client.config_get(name)[name] for name in ("appendonly", "maxmemory-policy")}
    try:
        broker_client.config_set("appendonly", "yes")
        broker_client.config_set("maxmemory-policy", "allkeys-lru")
        assert "Set 'maxmemory-policy noeviction'" in wrong(system)["Broker"]
        broker_client.config_set("appendonly", "no")
        assert "Set 'appendonly yes'" in wrong(system)["Broker"]
    finally:
        for name, value in before.items():
            broker_client.config_set(name, value)
    system.environment["TAPELINE_BROKER_URL"] = "redis://127.0.0.1:1/0"
    assert "broker_url" in wrong(system)["Broker"]


@pytest.mark.skipif(not ROOT, reason="root alone can make the small and the read-only disk")
def test_the_host(system: System, short_path: Path) -> None:
    """No room for the spool, a device that this user may not open, a mount point that is in use."""
    point = short_path / "point"
    point.mkdir()
    (point / "left").write_text("x")
    with (
        mounted(short_path / "full", "-o", "size=20m") as full,
        mounted(short_path / "sg3", "-o", "ro") as device,
    ):
        programs = dict.fromkeys(("mkltfs", "ltfs", "ltfsck", "umount"), "true")
        settings = {"driver": "ltfs", "device": str(device), "backend": "file", "programs": programs}
        drive(system, **settings, mount_point=str(point), sync_type="unmount", label_limit_seconds=5)
        system.environment["TAPELINE_STATE_DIR"] = str(full)
        found = wrong(system)
    assert "free. Make room, or set state_dir" in found["State folder"]
    assert "may not open" in found["Device of tape0"]
    assert "'mount_point'" in found["Mounting for tape0"]
    assert "sync_type to time@5" in found["Index of tape0"]
    assert "Programs of tape0" not in found


def test_a_newer_flower(system: System, tmp_path: Path) -> None:
    """One whose pages have changed is named with the version to install; the one that is installed fits."""
    [dashboard] = [each for each in system.json("doctor") if each["check"] == "Dashboard"]
    assert dashboard["ok"]
    newer = tmp_path / "flower"
    shutil.copytree(Path(flower.__file__).parent, newer)
    navbar = newer / "templates" / "navbar.html"
    navbar.write_text(navbar.read_text("utf-8").replace("app-nav ", "side-nav "), "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main()", "doctor"],
        capture_output=True,
        text=True,
        check=False,
        env={**system.environment, "PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}"},
    )
    assert done.returncode == 1
    [line] = [line for line in done.stdout.splitlines() if "Dashboard" in line]
    assert "changed navbar.html; the dashboard's pages lack entries or styles there." in line
    assert f"pip install flower=={NEWEST}" in line


def test_a_host_of_windows(system: System, short_path: Path) -> None:
    """The programs that are not in their folder are named."""
    (short_path / "LtfsCmdFormat.exe").touch()
    drive(system, driver="ltfs_windows", letter="O", tools=str(short_path))
    found = wrong(system)
    assert "LtfsCmdDrives.exe" in found["Programs of tape0"]
    assert "LtfsCmdFormat.exe," not in found["Programs of tape0"]
    assert "tools" in found["Programs of tape0"]
    assert "Windows alone" in found["Drive tape0"]
