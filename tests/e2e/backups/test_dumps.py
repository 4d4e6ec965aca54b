"""What a command of the drive's host prints, as a source: backed up, named, judged, restored."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from policy.message import Message
from tests.system import System

DUMP = """
import os, sys
from pathlib import Path
folder = Path({folder!r})
with (folder / "calls").open("a") as file:
    file.write(" ".join([os.environ["BACKUP_MOMENT"], os.environ["BACKUP_DUMP"]]) + "\\n")
print("so much to say", file=sys.stderr)
sys.stdout.buffer.write((folder / "data").read_bytes())
sys.stdout.buffer.flush()
sys.exit(int((folder / "code").read_text()))
"""


class Database:
    """What a command dumps, and how it ends."""

    def __init__(self, system: System) -> None:
        self.system = system
        script = system.folder / "dump.py"
        script.write_text(DUMP.format(folder=str(system.folder)))
        known = {"dump-accounts": {"argv": [sys.executable, str(script)]}}
        system.environment["TAPELINE_COMMANDS"] = json.dumps(known)
        self.has(b"accounts " * 100_000)

    def has(self, data: bytes, code: int = 0) -> None:
        (self.system.folder / "data").write_bytes(data)
        (self.system.folder / "code").write_text(str(code))

    @property
    def calls(self) -> list[str]:
        return (self.system.folder / "calls").read_text().splitlines()


@pytest.fixture
def accounts(system: System) -> Database:
    return Database(system)


def begin(system: System, *sources: Path, optional: bool = False, **template: Any) -> int:
    dumps = [{"command": "dump-accounts", "name": "accounts.sql", "optional": optional}]
    system.insert_blank()
    system.start("control", "tape")
    template = {"dumps": dumps, "archive_bytes": 200_000, "compression": "none", **template}
    system.schedule("nightly", *sources, template=template)
    return system.run_schedule("nightly")


def reason(run: dict[str, Any]) -> str:
    return str(Message.from_json(run["reason"]))


APPLIED = """
[schedules.{name}]
when = {{ type = "manual" }}
backup = {{ sources = [{{ command = "{command}", name = "accounts.sql" }}] }}
"""


def test_a_dump_is_a_file_of_the_set(system: System, accounts: Database, source: Path) -> None:
    """From the file of schedules to a restored file; the next one is read anew, and an empty one is held."""
    data = b"accounts " * 100_000
    run = begin(system, source)
    done = system.wait_for_state(run, "SUCCEEDED")
    assert done["warnings"] == 0
    assert accounts.calls == ["dump accounts.sql"]
    assert "dump-accounts: so much to say" in system.cli("runs", "show", str(run)).stdout
    [found] = system.json("sets", "list")
    assert found["sources"] == [str(source), "/tapeline-dumps/accounts.sql"]
    assert system.json("sets", "show", found["id"])["broken_dumps"] == []
    assert "/tapeline-dumps/accounts.sql" in system.cli("sets", "find", "accounts").stdout
    target = system.folder / "restored"
    system.cli("sets", "restore", found["id"], "--to", str(target))
    restored = target / "tapeline-dumps" / "accounts.sql"
    system.wait_for(restored.exists, "the restored dump")
    assert restored.read_bytes() == data
    file = system.folder / "schedules.toml"
    file.write_text(APPLIED.format(name="weekly", command="dump-acounts"))
    told = system.cli("schedule", "apply", str(file), "--yes", code=2).stderr
    assert "schedules.weekly.backup.sources: tapeline.toml of this host has no command 'dump-acounts'" in told
    file.write_text(APPLIED.format(name="weekly", command="dump-accounts"))
    system.cli("schedule", "apply", str(file), "--yes")
    assert "The schedules match the file." in system.cli("schedule", "apply", str(file)).stdout
    only = system.wait_for_state(system.run_schedule("weekly"), "SUCCEEDED", "FAILED")
    assert only["state"] == "SUCCEEDED", only["reason"]
    accounts.has(b"")
    held = system.wait_for_state(system.run_schedule("weekly"), "HELD", "SUCCEEDED", "FAILED")
    assert held["state"] == "HELD", held["reason"]
    assert "Dump /tapeline-dumps/accounts.sql is empty: usual are" in reason(held)
    system.cli("runs", "accept", str(held["id"]), "--why", "all accounts are closed")
    system.wait_for_state(held["id"], "SUCCEEDED")


def test_a_dump_that_breaks_off(system: System, accounts: Database, source: Path) -> None:
    """The run fails, and a retry that ends well completes the same set."""
    accounts.has(b"x" * 500_000, code=3)
    run = begin(system, source)
    failed = system.wait_for_state(run, "FAILED")
    assert "Command dump-accounts ended with code 3: so much to say" in reason(failed)
    accounts.has(b"y" * 300_000)
    system.cli("runs", "retry", str(run))
    system.wait_for_state(run, "SUCCEEDED")
    [found] = system.json("sets", "list")
    target = system.folder / "restored"
    system.cli("sets", "restore", found["id"], "--to", str(target))
    restored = target / "tapeline-dumps" / "accounts.sql"
    system.wait_for(restored.exists, "the restored dump")
    assert restored.read_bytes() == b"y" * 300_000


def test_an_optional_dump_that_breaks_off(system: System, accounts: Database, source: Path) -> None:
    """The set is complete with a warning, and names it."""
    accounts.has(b"x" * 500_000, code=3)
    run = begin(system, source, optional=True)
    done = system.wait_for_state(run, "SUCCEEDED")
    assert done["warnings"] == 1
    assert system.announced() == ["warnings"]
    shown = system.json("sets", "show", done["set_id"])
    assert shown["broken_dumps"] == ["/tapeline-dumps/accounts.sql"]
    assert "Dumps that broke off" in system.cli("sets", "show", done["set_id"]).stdout
    assert "accounts.sql" not in system.cli("sets", "find", "accounts", code=None).stdout
