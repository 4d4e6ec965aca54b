"""The database is lost: a new one is made of the dump on the newest tape, and everything goes on."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import redis
from sqlalchemy import make_url, text

from backup.compare import compare_trees
from cli import sample
from db.engine import Database
from embedded import binaries
from tape.virtual import shelf
from tests.e2e.backups.test_precheck_agrees import LONG_AGO, Operator
from tests.system import System


@pytest.fixture
def lost(system: System, broker_client: redis.Redis) -> Iterator[System]:
    """An installation whose database and broker were lost after its backup."""
    shelf.new_cartridge(system.drive.path, "A00001L9", capacity=10**9)
    shelf.insert(system.drive.path, "A00001L9")
    sample.make(system.folder / "source", large=1 << 20, small=40)
    template = {"retention_days": 30}
    system.schedule("monthly", system.folder / "source", template=template, wait_for_tape_seconds=3600)
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    assert system.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    system.kill("tape")
    system.kill("control")
    broker_client.flushall()

    with in_another_database(system) as found:
        yield found


@contextmanager
def in_another_database(system: System) -> Iterator[System]:
    """The same installation with an empty database, for as long."""
    url = make_url(system.database.url).set(database=f"{make_url(system.database.url).database}_new")
    server = Database(url.set(database="postgres").render_as_string(hide_password=False))
    with server.outside_transactions() as connection:
        connection.execute(text(f'CREATE DATABASE "{url.database}"'))
        found = System(
            system.folder,
            url.render_as_string(hide_password=False),
            system.environment["TAPELINE_BROKER_URL"],
        )
        yield found
        found.close()
        connection.execute(text(f'DROP DATABASE "{url.database}" WITH (FORCE)'))
    server.close()


def dump_on_tape(system: System) -> Path:
    [found] = (shelf.folder_of(system.drive.path, "A00001L9") / "volume").glob("sets/*/database.sql.zst")
    return found


def nothing_starts(system: System) -> None:
    """Workers and beat are there, the tape is in: what was under way is held, and shown as such."""
    system.start("control", "tape")
    system.start_beat()
    held = {"runs": [1], "schedules": ["monthly"]}
    assert system.json("status")["held"] == held
    # Beat has it looked at each second.
    system.wait_for(lambda: "held since" in str(system.json("runs", "show", "1")["reason"]), "the hold")
    time.sleep(3)
    run = system.json("runs", "show", "1")
    assert (run["state"], system.json("status")["held"]) == ("WAITING_FOR_TAPE", held)
    assert "run 1, schedule 'monthly'" in system.cli("status", code=4).stdout
    [doctor] = [each for each in system.json("doctor") if each["check"] == "Schedules"]
    assert "run 1, schedule 'monthly'" in doctor["detail"]
    assert "held" in system.cli("schedule", "run", "monthly", code=3).stdout


def goes_on(system: System) -> None:
    """Released, the run that wrote the dump finds its set whole on the tape, and the set restores."""
    system.cli("database", "release", code=2)
    assert system.json("database", "release", "--run", "1")["runs"] == [1]
    run = system.wait_for_state(1, "SUCCEEDED", "FAILED")
    assert run["state"] == "SUCCEEDED", system.cli("runs", "show", "1").stdout
    is_whole(system)
    assert system.json("status")["held"] == {"runs": [], "schedules": ["monthly"]}
    assert "monthly is released" in system.cli("database", "release", "--all").stdout.replace(
        "'", ""
    ).replace("Schedule ", "")
    assert system.json("schedule", "list")[0]["next_run_time"]


def is_whole(system: System) -> None:
    """The set that the dump lies in is what its tape says of it, and restores."""
    [stored] = system.json("sets", "list")
    assert (stored["state"], stored["files"] > 40, stored["warnings"]) == ("complete", True, 0)
    finished = json.loads(dump_on_tape(system).with_name("complete.json").read_bytes())["finished_at"]
    assert stored["finished_at"] == finished
    kept = datetime.fromisoformat(stored["retention_until"]) - datetime.fromisoformat(finished)
    assert kept == timedelta(days=30)
    system.cli("sets", "restore", stored["id"], "--to", str(system.folder / "back"))
    source = system.folder / "source"
    assert compare_trees(source, system.folder / "back" / source.relative_to("/")) == []
    system.cli("sets", "verify", stored["id"])


def test_from_the_dump_on_the_tape(lost: System) -> None:
    """Nothing starts until somebody releases it; the set that the dump lies in is finished then."""
    told = lost.cli("database", "restore", str(dump_on_tape(lost))).stdout
    assert "1 set, 1 tape, 1 run." in told
    assert "run 1, schedule 'monthly'" in told
    nothing_starts(lost)
    goes_on(lost)
    again = lost.cli("database", "restore", str(dump_on_tape(lost)), code=2)
    assert "not empty" in again.stderr
    lost.cli("database", "dump", str(lost.folder / "by hand.sql.zst"))
    assert (lost.folder / "by hand.sql.zst").stat().st_size > 1000
    assert lost.json("database", "hold")["held"] == {"runs": [], "schedules": ["monthly"]}


def test_its_tape_is_put_in_after_the_start(lost: System) -> None:
    """The run that was under way holds no drive; released without its tape, it waits for it."""
    lost.cli("database", "restore", str(dump_on_tape(lost)))
    shelf.remove(lost.drive.path)
    lost.start("control", "tape")
    lost.start_beat()
    lost.cli("database", "release", "--run", "1")
    lost.wait_for(lambda: "no tape" in str(lost.json("runs", "show", "1")["reason"]), "the run to wait")
    lost.cli("drive", "load", "tape0", "--cartridge", "A00001L9")
    assert lost.wait_for_state(1, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    is_whole(lost)


def test_its_run_is_cancelled_and_its_tape_imported(lost: System) -> None:
    """A set that is whole on its tape counts, although the run that was to say so never will."""
    lost.cli("database", "restore", str(dump_on_tape(lost)))
    lost.cli("runs", "cancel", "1")
    lost.start("control", "tape")
    lost.start_beat()
    assert lost.wait_for_state(1, "CANCELLED", "SUCCEEDED", "FAILED")["state"] == "CANCELLED"
    [stored] = lost.json("sets", "list")
    assert stored["state"] == "incomplete"
    imported = int(lost.json("tape", "import")["run"])
    assert lost.wait_for_state(imported, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    is_whole(lost)


def test_with_zstd_and_psql_alone(lost: System) -> None:
    """What README.txt on the tape promises; then Tapeline finds its tables and goes on."""
    if shutil.which("zstd") is None:
        pytest.skip("not installed here: zstd")
    url = make_url(lost.database.url)
    program = binaries.postgres().folder / "psql"
    psql = f"'{program}' -q -h '{url.query['host']}' -U '{url.username}' '{url.database}'"
    command = f"zstd -dc '{dump_on_tape(lost)}' | {psql}"
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)
    nothing_starts(lost)
    goes_on(lost)


def test_a_set_from_before_is_kept_until_somebody_answers_for_it(system: System, short_path: Path) -> None:
    """What was written after the copy may follow it, on a tape that the copy does not know. So its tape is
    not formatted, although it is past retention, also when everything is released; but it is once marked."""
    source, dump = short_path / "source", short_path / "dump.sql.zst"
    sample.make(source, large=1 << 20, small=4)
    system.schedule("monthly", source, tape_policy="rotate", wait_for_tape_seconds=3600)
    Operator(system, source).insert_known("TP20190101", LONG_AGO)
    assert system.json("format", "--dry-run")["allowed"]
    system.cli("database", "dump", str(dump))
    with in_another_database(system) as copy:
        copy.cli("database", "restore", str(dump))
        copy.cli("database", "release", "--all")
        assert not copy.json("format", "--dry-run")["allowed"]
        copy.start("control", "tape")
        copy.start_beat()
        run_id = copy.run_schedule("monthly")
        assert copy.wait_for_state(run_id, "SUCCEEDED", "WAITING_FOR_TAPE")["state"] == "WAITING_FOR_TAPE"
        assert "before the database was restored" in copy.cli("format", "--dry-run", code=None).stdout
        copy.cli("sets", "expire")
        assert copy.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"


def test_what_is_no_dump_is_refused(system: System) -> None:
    """One line, and the file that is there stays."""
    path = system.folder / "x.sql.zst"
    assert "no file" in system.cli("database", "restore", str(path), code=2).stderr
    path.write_bytes(b"nonsense")
    empty = {"TAPELINE_DATABASE_URL": system.database.url.replace("/test_", "/no_test_")}
    system.environment |= empty
    assert "does not answer" in system.cli("database", "dump", str(path), code=1).stderr
    assert path.read_bytes() == b"nonsense"
