"""Bad input: one line that names it and the remedy, the exit code, no traceback, nothing half-done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select

from celery_app.host.defaults import BadConfiguration, default_state_dir
from cli import person
from db.models import ChainRun
from db.tapes import drives
from tests.system import System


def refused(system: System, *arguments: str, code: int = 2) -> str:
    """Run a command that fails; its one line."""
    done = system.cli(*arguments, code=code)
    [line] = done.stderr.strip().splitlines()
    return line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "/no/such/folder"], "/no/such/folder"),
        (["schedule", "run", "nonsense"], "'nonsense'"),
        (["runs", "show", "999"], "run 999"),
        (["runs", "retry", "999"], "run 999"),
        (["runs", "retry"], "--all-failed"),
        (["runs", "--state", "NONSENSE"], "SUCCEEDED"),
        (["runs", "retry", "1", "--from", "nonsense"], "format_tape"),
        (["sets", "restore", "nonsense", "--to", "/tmp/x"], "'nonsense'"),
        (["tape", "show", "nonsense"], "'nonsense'"),
    ],
)
def test_what_does_not_exist_is_named(system: System, arguments: list[str], says: str) -> None:
    """Exit code 2, and not a single run was made."""
    assert says in refused(system, *arguments)
    assert system.ask(lambda s: s.scalar(select(func.count()).select_from(ChainRun))) == 0


def changer(drives: str, driver: str = "mtx") -> str:
    """A file with a virtual drive and a changer for it."""
    drive = "[drives.tape0]\ndriver = 'virtual'\npath = '/x'\n"
    return f"{drive}[changers.lib0]\ndriver = '{driver}'\ndevice = '/dev/sg7'\ndrives = {drives}\n"


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("language = 'klingon'", "language"),
        ("nonsense = 1", "nonsense: there is no such setting"),
        ("language = ", "not valid TOML"),
        ("[drives.tape0]\ndriver = 'virtual'", "drives.tape0.path"),
        ("[drives.tape0]\ndriver = 'magic'\npath = '/x'", "drives.tape0.driver"),
        ("[changers.lib0]\ndriver = 'mtx'\ndevice = '/dev/sg7'", "changers.lib0.drives"),
        ("[changers.lib0]\ndriver = 'mtx'\ndevice = 'sg7'\ndrives = {0 = 'a'}", "changers.lib0.device"),
        (changer("{0 = 'tape9'}"), "[drives.tape9]"),
        (changer("{zero = 'tape0'}"), "changers.lib0.drives.zero"),
        (changer("{0 = 'tape0', 1 = 'tape0'}"), "'tape0' has two numbers"),
        (changer("{0 = 'tape0'}"), "either both are virtual, or none is"),
        (changer("{0 = 'tape0'}", driver="robot"), "changers.lib0.driver"),
        ("[channels.ops]\ntype = 'pigeon'", "channels.ops"),
        ("[channels.ops]\ntype = 'dingtalk'\ntoken = 'x'\nat_mobiles = ['me']", "at_mobiles: 'me'"),
        ("[flower]\naddress = '0.0.0.0'", "basic_auth"),
        ("heartbeat_seconds = -1", "heartbeat_seconds"),
        ("state_dir = 5", "state_dir"),
        (
            "".join(f"[drives.{name}]\ndriver = 'ltfs'\ndevice = '/dev/sg3'\n" for name in ("a", "b")),
            "'b' and 'a' are the same drive",
        ),
    ],
)
@pytest.mark.parametrize("command", ["tapeline", "celery"])
def test_a_broken_configuration_names_field_and_file(
    system: System, file: str, says: str, command: str
) -> None:
    """The same line from the command line and from a worker; exit code 2."""
    path = system.folder / "tapeline.toml"
    path.write_text(file)
    del system.environment["TAPELINE_STATE_DIR"], system.environment["TAPELINE_HEARTBEAT_SECONDS"]
    if command == "tapeline":
        line = refused(system, "runs")
    else:
        system._spawn("worker", "worker", "-Q", "control")
        assert system.processes["worker"].wait(30) == 2
        log = system.log("worker").decode()
        assert "Traceback" not in log
        [line] = [line for line in log.splitlines() if line.startswith("tapeline:")]
    assert says in line
    assert "tapeline.toml" in line


def test_a_named_configuration_that_is_missing_is_an_error(system: System) -> None:
    """TAPELINE_CONFIG never falls back silently."""
    system.environment["TAPELINE_CONFIG"] = "/no/such.toml"
    assert "/no/such.toml" in refused(system, "runs")


def test_a_database_that_is_down(system: System) -> None:
    """Named without its password, exit code 1."""
    system.environment["TAPELINE_DATABASE_URL"] = "postgresql+psycopg2://u:secret@127.0.0.1:1/x"
    line = refused(system, "runs", code=1)
    assert "does not answer" in line
    assert "secret" not in line


def test_a_broker_that_is_down_keeps_the_run(system: System, short_path: Path) -> None:
    """The run is recorded and says that it waits; recover sends it when the broker is back."""
    (short_path / "source").mkdir()
    system.schedule("monthly", short_path / "source")
    broker = system.environment["TAPELINE_BROKER_URL"]
    system.environment["TAPELINE_BROKER_URL"] = "redis://127.0.0.1:1/0"
    done = system.cli("schedule", "run", "monthly", "--no-wait")
    assert "broker" in (done.stdout + done.stderr).lower()
    [run] = system.json("runs")
    assert run["state"] == "RUNNING"
    doctor = system.cli("doctor", code=1)
    assert "broker" in doctor.stdout.lower()
    system.environment["TAPELINE_BROKER_URL"] = broker


def test_doctor_names_what_is_wrong_and_what_to_do(system: System) -> None:
    """Without workers and with an empty drive: exit code 1, each finding with its remedy."""
    findings = {finding["check"]: finding for finding in system.json("doctor")}
    assert findings["Workers"]["ok"] is False
    assert "tapeline up" in findings["Workers"]["remedy"]
    assert findings["Database"]["ok"]
    assert findings["Drive tape0"]["detail"] == "virtual: no tape"


def test_a_source_that_is_missing_fails_the_run_before_anything_is_written(system: System) -> None:
    """The run says which source, the tape's set is not begun."""
    from tape.virtual import shelf

    shelf.new_cartridge(system.drive.path, "A00001L9", capacity=10**9)
    shelf.insert(system.drive.path, "A00001L9")
    system.schedule("monthly", Path("/no/such/source"))
    system.start("control", "tape")
    run = system.wait_for_state(system.run_schedule("monthly"), "FAILED", "SUCCEEDED")
    assert run["state"] == "FAILED"
    assert "/no/such/source" in str(run["reason"])
    assert not list((system.drive.path / "cartridges" / "A00001L9" / "volume").rglob("data-*"))


def test_the_language_is_a_setting(system: System) -> None:
    """Chinese texts, English names in JSON."""
    system.environment["TAPELINE_LANGUAGE"] = "zh_CN"
    assert "计划" in refused(system, "schedule", "run", "nonsense")
    assert "virtual：没有磁带" in system.cli("doctor", code=1).stdout
    facts = {"name": "tape0", "driver": "virtual", "host": "h", "worker": "w", "queue": "tape"}
    system.ask(lambda session: drives.register(session, **facts))
    for command in (("load", "tape0", "--new", "A00001L9"), ("status", "tape0"), ("list",)):
        shown = system.cli("drive", *command).stdout
        assert "空白磁带" in shown
        assert "blank" not in shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nope"], "'nope'"),
        (["--nope"], "--nope"),
        (["tape", "show"], "TAPE"),
        (["runs", "show", "abc"], "RUN"),
        (["runs", "-n", "0"], "limit"),
        (["sets", "restore", "X"], "--to"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    system: System, arguments: list[str], says: str
) -> None:
    """It names what is wrong, and the help to look at."""
    line = refused(system, *arguments)
    assert says in line
    assert "--help" in line


def test_a_misspelt_variable_is_named(system: System) -> None:
    """A setting in the environment is never passed over in silence."""
    system.environment["TAPELINE_LANGUGE"] = "zh_CN"
    assert "TAPELINE_LANGUGE" in refused(system, "runs")


SECRETS = ("se#cret", "se/cret", "se?cret", "se@cret", "s[e]cret", "se#c@ret")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    ("variable", "address"),
    [
        ("TAPELINE_BROKER_URL", "redis://:{}@127.0.0.1:1/0"),
        ("TAPELINE_DATABASE_URL", "postgresql+psycopg2://tapeline:{}@127.0.0.1:1/db"),
    ],
)
def test_no_part_of_a_password_is_printed(system: System, variable: str, address: str, secret: str) -> None:
    """A character of it that ends a part of an address is named with how to write it."""
    system.environment[variable] = address.format(secret)
    for command in ("doctor", "status"):
        line = refused(system, command)
        assert variable in line
        assert "%23" in line
        assert "cret" not in line
        assert "se" not in line.replace("database", "").split(":", 2)[-1].split("write")[0]


@pytest.mark.parametrize(
    ("encoding", "mark"), [("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("utf-8", "no mark")]
)
def test_settings_as_editors_save_them(system: System, encoding: str, mark: str) -> None:
    """With a byte order mark or without."""
    text = 'language = "zh_CN"\n'
    (system.folder / "tapeline.toml").write_bytes(text.encode(encoding))
    assert system.json("settings")["language"] == "zh_CN", mark


def test_variables_of_kubernetes_are_no_settings(system: System) -> None:
    """For a service that is named tapeline or tapeline-flower; a misspelt setting is one still."""
    system.environment |= {
        "TAPELINE_PORT": "tcp://10.0.0.1:5555",
        "TAPELINE_PORT_5555_TCP_ADDR": "10.0.0.1",
        "TAPELINE_SERVICE_HOST": "10.0.0.1",
        "TAPELINE_SERVICE_PORT_HTTP": "5555",
        "TAPELINE_FLOWER_PORT_5555_TCP": "tcp://10.0.0.1:5555",
    }
    assert system.json("settings")["flower"]["port"] == 5555
    system.environment["TAPELINE_LANGUAG"] = "en"
    assert "TAPELINE_LANGUAG: there is no such setting" in refused(system, "settings")


@pytest.mark.parametrize("name", ["Mars/Olympus", "CST-8"])
def test_a_time_zone_that_is_none_is_not_utc(system: System, name: str) -> None:
    """Also where the host's own variable names it."""
    del system.environment["TAPELINE_TIME_ZONE"]
    system.environment["TZ"] = name
    assert f"TZ: '{name}'" in refused(system, "settings")
    system.environment["TZ"] = "Asia/Shanghai"
    assert system.json("settings")["time_zone"] == "Asia/Shanghai"


def command_line(system: System, line: str) -> subprocess.CompletedProcess[str]:
    """A line of a shell, with the program as it is installed."""
    program = str(Path(sys.executable).with_name("tapeline"))
    return subprocess.run(
        ["bash", "-c", "set -o pipefail; " + line.replace("tapeline", program)],
        env=system.environment, cwd=system.folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_reader_that_leaves_is_no_error(system: System) -> None:
    """Behind ``| head`` nothing is complained of; a program without a standard output works."""
    piped = command_line(system, "tapeline --help | true")
    assert piped.stderr == ""
    closed = command_line(system, "tapeline settings >&-")
    assert (closed.stderr, closed.returncode) == ("", 0)


def test_a_user_without_a_name_has_a_number(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under any user id; and one without a home names the setting."""
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert person.name() == "uid 54321"
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(BadConfiguration, match="TAPELINE_STATE_DIR"):
        default_state_dir()
