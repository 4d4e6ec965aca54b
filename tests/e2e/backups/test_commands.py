"""The commands of the drive's host that a template names: check, before and after."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db.models import CommandBracket
from db.states import Step
from policy.message import Message
from tape.virtual import shelf
from tests.e2e.tapes.test_several_drives import a_drive
from tests.system import System

SCRIPT = """
import json, os, sys, time
from pathlib import Path
folder = Path({folder!r})
name, code, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
note = [name, os.environ["BACKUP_MOMENT"], os.environ.get("BACKUP_RESULT", "-")]
with (folder / "calls").open("a") as file:
    file.write(" ".join(note) + "\\n")
(folder / ("environment-" + name)).write_text(json.dumps(dict(os.environ)))
print(name, "says: it is quiet now")
time.sleep(seconds)
while (folder / "hold").exists():
    time.sleep(0.05)
sys.exit(code)
"""


class Host:
    """The commands of a host, as its own file has them; each writes down that it was called."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.script = system.folder / "command.py"
        self.script.write_text(SCRIPT.format(folder=str(system.folder)))
        self.known: dict[str, Mapping[str, Any]] = {}

    def has(self, name: str, code: int = 0, seconds: float = 0, **settings: Any) -> None:
        argv = [sys.executable, str(self.script), name, str(code), str(seconds)]
        self.known[name] = {"argv": argv, **settings}
        self.system.environment["TAPELINE_COMMANDS"] = json.dumps(self.known)

    @property
    def calls(self) -> list[str]:
        """What was called, when, and how the run had ended."""
        path = self.system.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def environment(self, name: str) -> dict[str, str]:
        """What a command had in its environment, the last time."""
        return dict(json.loads((self.system.folder / f"environment-{name}").read_text()))


@pytest.fixture
def host(system: System) -> Host:
    return Host(system)


def begin(system: System, source: Path, **template: Any) -> int:
    """Processes, a blank tape, a schedule that names commands, and a run of it."""
    system.insert_blank()
    system.start("control", "tape")
    system.schedule("nightly", source, template=template)
    return system.run_schedule("nightly")


def story(system: System, run: int) -> str:
    return system.cli("runs", "show", str(run)).stdout


def written(system: System) -> list[Path]:
    return [path for path in system.state.rglob("sets/*/*") if path.is_file()]


def test_the_commands_of_a_run(system: System, host: Host, source: Path) -> None:
    """Each once, in order, with what it needs to know and nothing secret; their output is in the story."""
    for name in ("ready", "quiesce", "snapshot", "release"):
        host.has(name)
    run = begin(system, source, checks=["ready"], before=["quiesce", "snapshot"], after=["release"])
    done = system.wait_for_state(run, "SUCCEEDED")
    assert host.calls == [
        "ready check -",
        "quiesce before -",
        "snapshot before -",
        "release after SUCCEEDED",
    ]
    found = host.environment("quiesce")
    wanted = {
        "BACKUP_RUN": str(run),
        "BACKUP_SCHEDULE": "nightly",
        "BACKUP_TEMPLATE": "nightly",
        "BACKUP_TYPE": "full",
        "BACKUP_DRIVE": "tape0",
        "BACKUP_SOURCES": str(source),
    }
    assert {name: found[name] for name in wanted} == wanted
    assert not [name for name in found if name.startswith("TAPELINE_")]
    told = story(system, run)
    assert "quiesce: quiesce says: it is quiet now" in told
    assert "Command release is done" in told
    assert done["warnings"] == 0
    assert system.announced() == ["success"]
    assert system.ask(lambda s: s.scalars(select(CommandBracket.closed_at)).one()) is not None
    findings = {each["check"]: each for each in system.json("doctor")}
    assert findings["Command quiesce"]["ok"]
    assert "at most 600 s" in findings["Command quiesce"]["detail"]
    assert findings["Commands of schedules"]["detail"] == "quiesce, ready, release, snapshot"
    told = system.cli("precheck", "nightly", "--manual", code=None).stdout
    assert "ready, quiesce, snapshot, release" in told


def test_a_before_that_fails(system: System, host: Host, source: Path) -> None:
    """Nothing is written, and what was begun is put right; a retry begins it anew."""
    host.has("quiesce")
    host.has("snapshot", code=3)
    host.has("release")
    run = begin(system, source, before=["quiesce", "snapshot"], after=["release"])
    failed = system.wait_for_state(run, "FAILED")
    assert "Command snapshot ended with code 3: snapshot says" in str(Message.from_json(failed["reason"]))
    system.wait_for(lambda: len(host.calls) == 3, "after")
    assert host.calls[-1] == "release after FAILED"
    assert written(system) == []
    assert failed["set_id"] is None
    host.has("snapshot")
    system.kill("tape")
    system.start("tape")
    system.cli("runs", "retry", str(run))
    system.wait_for_state(run, "SUCCEEDED")
    assert host.calls[3:] == ["quiesce before -", "snapshot before -", "release after SUCCEEDED"]


def test_an_after_that_fails_is_a_warning(system: System, host: Host, source: Path) -> None:
    """The set is complete and the run a success; its message counts the warning. The others still run."""
    host.has("release", code=5)
    host.has("resume")
    run = begin(system, source, after=["release", "resume"])
    done = system.wait_for_state(run, "SUCCEEDED")
    assert done["warnings"] == 1
    assert host.calls == ["release after SUCCEEDED", "resume after SUCCEEDED"]
    assert system.announced() == ["warnings"]
    assert "After the backup: Command release ended with code 5" in story(system, run)


def test_a_cancelled_run_is_put_right(system: System, host: Host, source: Path) -> None:
    """``after`` runs with the run's state; that it failed is a message of its own."""
    host.has("quiesce", seconds=60)
    host.has("release", code=5)
    run = begin(system, source, before=["quiesce"], after=["release"])
    system.wait_for(lambda: host.calls, "before")
    system.cli("runs", "cancel", str(run))
    system.wait_for_state(run, "CANCELLED")
    system.wait_for(lambda: "after_failed" in system.announced(), "the message")
    assert host.calls == ["quiesce before -", "release after CANCELLED"]
    assert system.announced() == ["cancelled", "after_failed"]
    assert written(system) == []


def test_a_check_that_fails(system: System, host: Host, source: Path) -> None:
    """The run fails before its tape is touched, and ``precheck`` shows it in the afternoon."""
    host.has("ready", code=7)
    host.has("quiesce")
    run = begin(system, source, checks=["ready"], before=["quiesce"])
    failed = system.wait_for_state(run, "FAILED")
    assert "Command ready ended with code 7" in str(Message.from_json(failed["reason"]))
    assert [step["name"] for step in failed["steps"] if step["state"] == "FAILED"] == [Step.PRECHECK.value]
    assert host.calls == ["ready check -"]
    told = system.cli("precheck", "nightly", "--manual", code=1).stdout
    assert "Command ready ended with code 7: ready says: it is quiet now" in told


def test_a_command_that_does_not_end(system: System, host: Host, source: Path) -> None:
    host.has("quiesce", seconds=60, limit="1s")
    run = begin(system, source, before=["quiesce"])
    failed = system.wait_for_state(run, "FAILED")
    assert "Command quiesce did not end within 1 s." in str(Message.from_json(failed["reason"]))
    assert "quiesce: quiesce says" in story(system, run)


def test_a_run_that_is_held(system: System, host: Host, source: Path) -> None:
    """A person may take days: ``after`` runs, and ``before`` begins anew when it goes on."""
    host.has("quiesce")
    host.has("release")
    names = {"before": ["quiesce"], "after": ["release"]}
    run = begin(system, source, **names)
    system.wait_for_state(run, "SUCCEEDED")
    for path in sorted(source.rglob("*"), key=lambda each: -len(each.parts)):
        if path.is_file() and path.parent != source:
            path.unlink()
    run = system.run_schedule("nightly")
    system.wait_for_state(run, "HELD")
    system.wait_for(lambda: host.calls[2:] == ["quiesce before -", "release after HELD"], "after")
    system.cli("runs", "accept", str(run), "--why", "so it is")
    system.wait_for_state(run, "SUCCEEDED")
    assert host.calls[4:] == ["quiesce before -", "release after SUCCEEDED"]


def test_two_tapes_are_one_run(system: System, host: Host, source: Path) -> None:
    """``before`` runs once, and ``after`` when the set is complete: between the tapes it stays as it is."""
    host.has("quiesce")
    host.has("release")
    (source / "large").write_bytes(b"x" * (4 << 20))
    system.insert_blank(capacity=4 << 20)
    system.start("control", "tape")
    system.start_beat()
    template = {"before": ["quiesce"], "after": ["release"], "compression": "none", "archive_bytes": 1 << 20}
    system.schedule("nightly", source, template=template)
    run = system.run_schedule("nightly")
    system.wait_for_state(run, "WAITING_FOR_TAPE")
    assert host.calls == ["quiesce before -"]
    system.take_out()
    shelf.new_cartridge(system.drive.path, "A00002L9", capacity=10**9)
    shelf.insert(system.drive.path, "A00002L9")
    system.wait_for_state(run, "SUCCEEDED")
    assert host.calls == ["quiesce before -", "release after SUCCEEDED"]


def test_exclusive_commands_of_two_runs(system: System, host: Host, short_path: Path, source: Path) -> None:
    """Two drives, one snapshot: the second run waits until the first has ended with it."""
    here = {name: a_drive(short_path, name) for name in ("tape0", "tape1")}
    system.environment["TAPELINE_DRIVES"] = json.dumps(here)
    host.has("snapshot", exclusive=True)
    hold = system.folder / "hold"
    hold.touch()
    host.has("release")
    for number in range(2):
        names = {"before": ["snapshot"], "after": ["release"]}
        system.schedule(f"s{number}", source, drive=f"tape{number}", template=names)
    system.start("control", "tape", "tape.tape1")
    runs = [system.run_schedule(f"s{number}") for number in range(2)]
    waits = "uses the same exclusive commands"
    system.wait_for(lambda: any(waits in story(system, run) for run in runs), "one to wait", 120)
    assert [call.split()[0] for call in host.calls] == ["snapshot"]
    hold.unlink()
    ended = [system.wait_for_state(run, "SUCCEEDED", "FAILED") for run in runs]
    assert [run["state"] for run in ended] == ["SUCCEEDED"] * 2
    assert [call.split()[0] for call in host.calls] == ["snapshot", "release"] * 2
    assert sum(waits in story(system, run) for run in runs) == 1


APPLIED = """
[schedules.nightly]
when = {{ type = "manual" }}
backup = {{ sources = ["{source}"], before = ["quiesce"], check = ["ready"] }}
"""


def test_a_command_that_nobody_knows(system: System, host: Host, source: Path) -> None:
    """``schedule apply`` finds it on the drive's host, ``precheck`` from any host, ``doctor`` too."""
    host.has("ready")
    host.known["broken"] = {"argv": ["/no/such/program"]}
    host.has("other")
    system.insert_blank()
    system.start("control", "tape")
    file = system.folder / "schedules.toml"
    file.write_text(APPLIED.format(source=source))
    told = system.cli("schedule", "apply", str(file), "--yes", code=2).stderr
    assert "schedules.nightly.backup.before: tapeline.toml of this host has no command 'quiesce'." in told
    assert "Add [commands.quiesce] with its argv there, or name one of: broken, other, ready." in told
    system.schedule("nightly", source, template={"before": ["quiesce"], "after": ["broken"]})
    told = system.cli("precheck", "nightly", "--manual", code=1).stdout
    assert "has no command 'quiesce'" in told
    assert "commands.broken.argv: there is no program /no/such/program on this host." in told
    failed = system.wait_for_state(system.run_schedule("nightly"), "FAILED")
    assert "has no command 'quiesce'" in str(Message.from_json(failed["reason"]))
    findings = {each["check"]: each for each in system.json("doctor")}
    assert not findings["Command broken"]["ok"]
    assert "schedules.nightly.backup.before" in findings["Commands of schedules"]["detail"]
    file.write_text(
        APPLIED.format(source=source)
        .replace("quiesce", "ready")
        .replace("[schedules.nightly]", '[schedules.nightly]\ndrive = "elsewhere"')
        .replace("ready", "unknown-here")
    )
    assert "before" in system.cli("schedule", "apply", str(file), "--yes").stdout
