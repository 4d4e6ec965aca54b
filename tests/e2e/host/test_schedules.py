"""Schedules from the command line: applied from a file, shown, switched, looked ahead."""

from __future__ import annotations

import json
import shutil
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from db.models import BackupTask, ScheduledTask
from db.runs import starting
from db.schedules import schedules
from db.states import Trigger
from tests.system import System

DOCS = Path(__file__).parents[3] / "docs"

TOML = """
[schedules.nightly]
when = { type = "daily", at = 02:30:00 }
time_zone = "Asia/Shanghai"
backup = { sources = ["/srv"] }

[schedules.weekly]
when = { type = "weekly", day = "friday", at = "20:00" }
backup = { sources = ["/srv"] }
"""

YAML = """
schedules:
  nightly:
    when: {type: daily, at: 22:30}
    time_zone: Asia/Shanghai
    grace: 2h
    backup: {sources: [/srv, /home], retention_days: 30}
"""


A_BACKUP = 'backup = { sources = ["/srv"] }\n'
BAD_BACKUP = """
[schedules.x]
when = {{ type = "manual" }}
backup = {{ sources = ["/srv"], {field} }}
"""


def write(system: System, name: str, text: str) -> str:
    path = system.folder / name
    path.write_text(text)
    return str(path)


def test_a_file_is_applied_and_once_more_changes_nothing(system: System) -> None:
    """A dry run changes nothing; the example of the documentation works; the next times are known at once."""
    example = system.folder / "schedules.toml"
    shutil.copy(DOCS / "schedules.example.toml", example)
    dry = system.cli("schedule", "apply", str(example), "--dry-run")
    assert "+ monthly-full" in dry.stdout
    assert '"/srv/mail"' in dry.stdout
    assert system.json("schedule", "list") == []

    unasked = system.cli("schedule", "apply", str(example), code=2)
    assert "--yes" in unasked.stderr
    assert system.json("schedule", "list") == []

    system.cli("schedule", "apply", str(example), "--yes")
    listed = {each["name"]: each for each in system.json("schedule", "list")}
    assert set(listed) == {"monthly-full", "year-end", "before-the-move"}
    assert listed["before-the-move"]["next_run_time"] is None
    due = datetime.fromisoformat(listed["monthly-full"]["next_run_time"])
    assert (due - datetime.now(UTC)).days <= 31
    assert (due.astimezone(UTC).hour, due.minute) == (18, 0)
    again = json.loads(system.cli("schedule", "apply", str(example), "--yes", "--json").stdout)
    assert again == {"changes": [], "applied": False}


def test_what_a_file_no_longer_names_is_removed_and_its_history_stays(system: System) -> None:
    """TOML, then YAML: changed fields are shown with both values; one that has run comes back as it was."""
    system.cli("schedule", "apply", write(system, "a.toml", TOML), "--yes")

    def run_weekly(session):  # type: ignore[no-untyped-def]
        row = schedules.get(session, "weekly")
        return starting.start(session, row, due_at=datetime.now(UTC), trigger=Trigger.MANUAL).id  # type: ignore[union-attr]

    run_id = system.ask(run_weekly)
    system.schedule("never-ran", system.folder)

    other = write(system, "b.yaml", YAML)
    kept = json.loads(system.cli("schedule", "apply", other, "--dry-run", "--json").stdout)
    assert [change["schedule"] for change in kept["changes"]] == ["nightly"]
    changed = {field["name"]: (field["before"], field["after"]) for field in kept["changes"][0]["fields"]}
    assert changed == {
        "when": ({"type": "daily", "at": "02:30"}, {"type": "daily", "at": "22:30"}),
        "grace": ("12h", "2h"),
        "backup.sources": (["/srv"], ["/srv", "/home"]),
        "backup.retention_days": (None, 30),
    }
    done = json.loads(system.cli("schedule", "apply", other, "--prune", "--yes", "--json").stdout)
    actions = {change["schedule"]: change["action"] for change in done["changes"]}
    assert actions == {"nightly": "change", "weekly": "archive", "never-ran": "delete"}
    assert [each["name"] for each in system.json("schedule", "list")] == ["nightly"]
    left = system.ask(lambda session: set(session.scalars(select(ScheduledTask.name))))
    templates = system.ask(lambda session: set(session.scalars(select(BackupTask.name))))
    assert left == templates == {"nightly", "weekly"}
    assert "weekly" in system.cli("schedule", "run", "weekly", code=2).stderr
    assert system.json("runs", "show", str(run_id))["schedule"] == "weekly"

    back = json.loads(
        system.cli("schedule", "apply", write(system, "a.toml", TOML), "--yes", "--json").stdout
    )
    assert {change["schedule"]: change["action"] for change in back["changes"]} == {
        "nightly": "change",
        "weekly": "restore",
    }
    assert system.json("schedule", "show", "weekly")["counts"]["runs"] == 1


def test_every_wrong_field_of_a_file_is_a_line_of_its_own(system: System) -> None:
    """Wrong values, a name that does not exist, and what only the engine knows: all of them at once."""
    text = (
        '[schedules.x]\nwhen = { type = "daily", at = "26:00" }\ngracee = "1h"\n'
        'backup = { sources = ["/srv"], retention_days = 0, excludes = ["!"] }\n'
    )
    printed = system.cli("schedule", "apply", write(system, "a.toml", text), "--yes", code=2).stderr
    lines = printed.strip().splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "schedules.x.gracee",
        "schedules.x.when.at",
        "schedules.x.backup.retention_days",
        "schedules.x.backup.excludes",
    ]
    assert system.json("schedule", "list") == []


def test_what_is_exported_is_applied_unchanged(system: System) -> None:
    """Every field of the example, and a schedule of the database: as TOML, without what is a default."""
    example = system.folder / "schedules.toml"
    shutil.copy(DOCS / "schedules.example.toml", example)
    system.cli("schedule", "apply", str(example), "--yes")
    system.schedule("made-by-hand", system.folder, template={"type": "incremental", "keep_sets": 3})
    exported = system.cli("schedule", "export").stdout
    assert exported.count("\n[schedules.") == 7
    assert "compression" not in exported
    again = system.cli("schedule", "apply", write(system, "b.toml", exported), "--dry-run")
    assert "The schedules match the file." in again.stdout
    one = system.cli("schedule", "export", "made-by-hand").stdout
    assert one.startswith("[schedules.made-by-hand]\n")
    assert "monthly-full" not in one
    assert "no schedule 'none'" in system.cli("schedule", "export", "none", code=2).stderr


def test_a_schedule_knows_the_file_that_declares_it(system: System) -> None:
    """The last file that was applied and names it, until one is applied with --editable."""
    path = write(system, "a.toml", TOML)
    system.schedule("by-hand", system.folder)
    system.cli("schedule", "apply", path, "--dry-run")
    applied = system.cli("schedule", "apply", path, "--yes").stdout
    assert "edited there only: nightly, weekly" in applied
    declared = f"{socket.gethostname()}:{Path(path).resolve()}"
    listed = {each["name"]: each["declared_in"] for each in system.json("schedule", "list")}
    assert listed == {"nightly": declared, "weekly": declared, "by-hand": None}
    assert "edited there only" not in system.cli("schedule", "apply", path, "--yes").stdout
    other = write(system, "b.toml", system.cli("schedule", "export", "by-hand").stdout)
    system.cli("schedule", "apply", other, "--dry-run")
    assert system.json("schedule", "show", "by-hand")["declared_in"] is None
    assert "edited there only: by-hand" in system.cli("schedule", "apply", other, "--yes").stdout
    freed = system.cli("schedule", "apply", path, "--yes", "--editable").stdout
    assert "can edit these from now on: nightly, weekly" in freed
    assert system.json("schedule", "show", "nightly")["declared_in"] is None


def test_a_wrong_file_is_one_line_and_changes_nothing(system: System) -> None:
    """Its name, its syntax, its fields: the line or the field is named, with exit code 2."""
    for name, text, said in (
        ("a.ini", "", "neither TOML nor YAML"),
        ("a.toml", "[schedules.x\n", "line 1"),
        ("a.yaml", "schedules: {a: [}", "line 1"),
        ("a.yml", "schedules: {a: {}, a: {}}", "stands here twice"),
        ("b.toml", TOML + '[schedules.z]\nwhen = { type = "daily", at = "26:00" }\n' + A_BACKUP, "26:00"),
        ("b.yaml", YAML + "    gracee: 1h\n", "Did you mean 'grace'"),
        ("c.toml", BAD_BACKUP.format(field='excludes = ["!"]'), "schedules.x.backup.excludes: '!' is not"),
        (
            "d.toml",
            BAD_BACKUP.format(field='encrypt_to = ["age1q"]'),
            "schedules.x.backup.encrypt_to: 'age1q",
        ),
    ):
        failed = system.cli("schedule", "apply", write(system, name, text), "--yes", code=2)
        assert said in failed.stderr, failed.stderr
        assert failed.stderr.count("\n") == 1
    gone = system.cli("schedule", "apply", str(system.folder / "none.toml"), "--yes", code=2)
    assert "none.toml" in gone.stderr
    assert system.json("schedule", "list") == []


def test_a_schedule_is_switched_and_looked_ahead(system: System) -> None:
    """Disabled it has no next time; enabled it has one again; the next times are on its own clock."""
    system.cli("schedule", "apply", write(system, "a.toml", TOML), "--yes")
    system.cli("schedule", "disable", "nightly")
    assert system.json("schedule", "show", "nightly")["next_run_time"] is None
    assert {each["schedule"] for each in system.json("schedule", "next")} == {"weekly"}
    assert "next run" in system.cli("schedule", "enable", "nightly").stdout
    found = system.json("schedule", "next", "nightly", "-n", "3")
    times = [datetime.fromisoformat(each["at"]) for each in found]
    assert {(at.hour, at.minute) for at in times} == {(18, 30)}
    assert times[2] - times[0] == timedelta(days=2)
    assert all(each["local"].endswith("T02:30:00+08:00") for each in found)
    shown = system.cli("schedule", "show", "nightly").stdout
    assert '{"type": "daily", "at": "02:30"}' in shown
    printed = json.loads(system.cli("schedule", "schema").stdout)
    assert printed == json.loads((DOCS / "schedules.schema.json").read_text())


def test_a_schedule_that_cannot_be_planned_is_named_by_the_list(system: System) -> None:
    """What somebody broke in the table stands in the list, with exit code 1."""
    system.schedule("broken", system.folder, schedule_config={"day": 40, "at": "02:00"})
    system.cli("schedule", "enable", "broken")
    listed = system.cli("schedule", "list", code=1)
    assert "schedule_config.day: 40 is not right here." in listed.stdout
    assert system.json("schedule", "next") == []
