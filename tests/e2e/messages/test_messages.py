"""``tapeline notify`` through its front door, and what a run's failure sends."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli import person
from db.admin import processes
from db.admin.processes import ProcessSettings
from notify.events import Event
from tests.faults.catcher import Catcher
from tests.faults.trickle import Trickle
from tests.system import System


@pytest.fixture
def catcher() -> Iterator[Catcher]:
    found = Catcher()
    yield found
    found.close()


def configure(system: System, catcher: Catcher, **settings: str) -> None:
    """A channel that works and is told of starts, and one where nobody listens."""
    lines = [f'{name} = "{value}"' for name, value in settings.items()]
    lines += ["[channels.ops]", 'type = "apprise"', f'url = "{catcher.url}"', "events = { started = true }"]
    lines += ["[channels.dead]", 'type = "apprise"', 'url = "json://127.0.0.1:1/"']
    (system.folder / "tapeline.toml").write_text("\n".join(lines), encoding="utf-8")


def test_a_test_message_is_sent_and_the_answers_are_said(system: System, catcher: Catcher) -> None:
    """Each channel's answer is shown; exit code 1 if one did not take it; a wrong name is one line."""
    assert "No channel is set up" in system.cli("notify", "test", code=2).stderr
    configure(system, catcher, language="zh_CN")
    shown = system.cli("notify", "test", code=1).stdout
    assert "✓ ops：通知已被接收。" in shown
    assert "✗ dead：" in shown
    [message] = catcher.messages
    assert message["title"] == "Tapeline · 测试通知"
    assert system.json("notify", "test", "--channel", "ops") == [
        {"channel": "ops", "ok": True, "error": None}
    ]
    assert "没有通道“nobody”" in system.cli("notify", "test", "--channel", "nobody", code=2).stderr
    ops, dead = system.json("notify", "channels")
    assert "started" in ops["on"]
    assert (dead["off"], dead["monthly"]) == (["started"], ["ready"])


def test_every_message_can_be_looked_at_and_rewritten(
    system: System, catcher: Catcher, short_path: Path
) -> None:
    """Sample messages in both languages; a template of one's own shows, a broken one says so."""
    templates = short_path / "templates"
    system.cli("notify", "templates", "--copy", str(templates))
    configure(system, catcher, templates_dir=str(templates))
    shown = system.json("notify", "preview", "--language", "zh_CN")
    assert [each["event"] for each in shown] == list(Event)
    assert {each["template"]: each["own"] for each in system.json("notify", "templates")}["failed"]

    (templates / "en" / "failed.md.j2").write_text("Wake up\n{{ reason }}\n")
    assert system.cli("notify", "preview", "failed").stdout.splitlines()[1] == "Tapeline · Wake up"
    (templates / "en" / "failed.md.j2").write_text("Wake up\n{{ raison }}\n")
    broken = system.cli("notify", "preview", "failed").stdout
    assert "Tapeline · Backup failed: monthly-full" in broken
    assert "'raison' is undefined" in broken
    assert "Events: started" in system.cli("notify", "preview", "exploded", code=2).stderr
    assert "en." in system.cli("notify", "preview", "--language", "de", code=2).stderr


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('templates_dir = "/no/such/folder"', "templates_dir: there is no folder"),
        ('dashboard_url = "backup.example"', "dashboard_url: write the whole address"),
        ('[channels.x]\ntype = "apprise"\nurl = "json://h"\nevents = { faild = true }', "events.faild"),
    ],
)
def test_a_wrong_setting_is_one_line(system: System, line: str, problem: str) -> None:
    """It names the field, and nothing is sent."""
    (system.folder / "tapeline.toml").write_text(line)
    assert problem in system.cli("notify", "channels", code=2).stderr


def test_a_failure_is_told_with_its_link_though_another_channel_is_down(
    system: System, catcher: Catcher, short_path: Path
) -> None:
    """The message says what is safe, what to do and where to look; the channel that is down blocks nothing,
    and stands in the status with the reason; the doctor finds it."""
    configure(system, catcher, dashboard_url="https://backup.example")
    (short_path / "source").mkdir()
    system.schedule("monthly", short_path / "source")
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for_state(run_id, "FAILED")
    system.wait_for(lambda: len(catcher.messages) == 2, "two messages")
    started, failed = catcher.messages
    assert started["title"] == "Tapeline · Backup started: monthly"
    assert failed["title"] == "Tapeline · Backup failed: monthly"
    for line in (
        "Safe: Nothing was written on any tape.",
        "Newest complete backup: none yet",
        f"What to do: With the right tape in the drive: tapeline runs retry {run_id}",
        f"Details: https://backup.example/runs/{run_id}",
    ):
        assert line in failed["message"].splitlines()
    system.wait_for(lambda: system.json("status")["channels"], "the answer of the other channel")
    trouble = system.json("status")["channels"]
    assert trouble["dead"]["waiting"] == 1
    assert "Apprise could not deliver" in trouble["dead"]["error"]
    assert "Channel dead since" in system.cli("status").stdout
    [channels] = [each for each in system.json("doctor") if each["check"] == "Channels"]
    assert not channels["ok"]
    assert "tapeline notify test --channel dead" in channels["remedy"]
    system.environment["TAPELINE_LANGUAGE"] = "zh_CN"
    assert "Apprise 未能送达通道“dead”。" in system.cli("status").stdout


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ('type = "apprise"\nurl = "foo://x"', "Channel 'bad' is not one URL that Apprise understands."),
        (
            'type = "dingtalk"\ntoken = "t"\nbase_url = "https://oapi..dingtalk.com"',
            "The base_url of DingTalk robot 'bad' is no web address.",
        ),
    ],
    ids=["apprise", "dingtalk"],
)
def test_one_bad_channel_costs_the_others_nothing(
    system: System, catcher: Catcher, short_path: Path, bad: str, problem: str
) -> None:
    """The run succeeds, the good channel carries that and what is wrong with the bad one; the doctor knows it
    before anything was sent."""
    text = f'[channels.bad]\n{bad}\n[channels.good]\ntype = "apprise"\nurl = "{catcher.url}"\n'
    (system.folder / "tapeline.toml").write_text(text)
    [channels] = [each for each in system.json("doctor") if each["check"] == "Channels"]
    assert not channels["ok"]
    assert problem in channels["detail"]
    (short_path / "source").mkdir()
    system.schedule("monthly", short_path / "source")
    system.insert_blank()
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for_state(run_id, "SUCCEEDED")
    system.wait_for(lambda: len(catcher.messages) == 2, "two messages")
    success, alert = catcher.messages
    assert success["title"] == "Tapeline · Backup succeeded: monthly"
    assert alert["title"] == "Tapeline · Channel bad does not work"
    assert problem in alert["message"]
    assert problem in system.cli("status").stdout


def test_a_channel_that_never_ends_its_answer_holds_up_no_run(
    system: System, catcher: Catcher, short_path: Path
) -> None:
    """More runs than the control worker has processes come to their end, and the other channel is told."""
    trickle = Trickle()
    configure(system, catcher)
    with (system.folder / "tapeline.toml").open("a") as file:
        file.write(f'\n[channels.trickle]\ntype = "apprise"\nurl = "{trickle.url}"\n')
    (short_path / "source").mkdir()
    system.schedule("manual", short_path / "source", schedule_type="manual", schedule_config={})
    system.insert_blank()
    system.start("control", "tape")
    for _ in range(3):
        system.wait_for_state(system.run_schedule("manual"), "SUCCEEDED")
    assert trickle.asked.is_set()
    assert "Tapeline · Backup succeeded: manual" in [each["title"] for each in catcher.messages]
    trickle.close()


def test_a_channel_that_is_added_while_everything_runs_is_told(
    system: System, catcher: Catcher, short_path: Path
) -> None:
    """At once, without a new start. What was sent to nobody is no success."""
    (short_path / "source").mkdir()
    system.schedule("manual", short_path / "source", schedule_type="manual", schedule_config={})
    system.insert_blank()
    file = system.folder / "tapeline.toml"
    file.write_text('language = "en"\n')
    system.start("control", "tape")
    nobody = system.run_schedule("manual")
    assert system.wait_for_state(nobody, "SUCCEEDED")["steps"][-1]["told"] == "nobody"
    assert "SUCCEEDED, nobody was informed" in system.cli("runs", "show", str(nobody)).stdout

    configure(system, catcher, language="en")
    told = system.run_schedule("manual")
    system.wait_for_state(told, "SUCCEEDED")
    system.wait_for(lambda: len(catcher.messages) == 2, "two messages")
    assert system.json("runs", "show", str(told))["steps"][-1]["told"] == "sent"


def test_whoever_delivers_has_to_know_the_channel(system: System) -> None:
    """That this host knows it is of no use: the doctor names the process, and the file that it reads; and one
    that is behind its file."""
    reading = ProcessSettings(
        name="control@elsewhere", host="elsewhere", file="/etc/tapeline/tapeline.toml",
        read_at=datetime.now(UTC), channels=["mail"], behind=[], problem=None,
    )  # fmt: skip
    (system.folder / "tapeline.toml").write_text(
        '[channels.ops]\ntype = "apprise"\nurl = "json://127.0.0.1:1/"\n'
    )

    def checks() -> dict[str, str]:
        found = [each for each in system.json("doctor") if not each["ok"]]
        return {each["check"]: f"{each['detail']} {each['remedy']}" for each in found}

    with system.database.transaction() as session:
        processes.enter(session, reading)
    assert "control@elsewhere delivers the messages and does not know channel ops" in checks()["Channels"]
    assert "/etc/tapeline/tapeline.toml" in checks()["Channels"]
    with system.database.transaction() as session:
        processes.enter(session, replace(reading, channels=["mail", "ops"], behind=["drives"]))
    assert "Channels" not in checks()
    older = "control@elsewhere has older settings than /etc/tapeline/tapeline.toml: drives."
    assert older in checks()["Settings in use"]
    assert older in system.cli("status", code=1).stdout  # nothing runs


def test_a_message_names_who_ended_the_run(system: System, catcher: Catcher, short_path: Path) -> None:
    """Also where a step was at work, so that the run stopped at its next safe point."""
    configure(system, catcher)
    (short_path / "source").mkdir()
    for number in range(30):
        (short_path / "source" / f"{number:02d}").write_bytes(bytes(2 << 20))
    system.schedule(
        "manual", short_path / "source", template={"archive_bytes": 2 << 20, "compression": "none"}
    )
    volume = system.insert_blank(speed=4 << 20)
    system.start("control", "tape")
    run_id = system.run_schedule("manual")
    system.wait_for(lambda: list(volume.glob("sets/*/index-*")), "an archive")
    system.cli("runs", "cancel", str(run_id))
    system.wait_for_state(run_id, "CANCELLED")
    system.wait_for(lambda: len(catcher.messages) == 2, "two messages")
    assert f"Cancelled by: {person.name()}" in catcher.messages[1]["message"].splitlines()


def test_ctrl_c_ends_the_command_and_not_the_run(system: System, short_path: Path) -> None:
    """And the command reports that, with the one that ends the run."""
    (short_path / "source").mkdir()
    (short_path / "source" / "slow").write_bytes(bytes(2_000_000))
    system.schedule("manual", short_path / "source", template={"compression": "none"})
    system.insert_blank(speed=10_000)
    system.start("control", "tape")
    run_id = system.run_schedule("manual")
    program = Path(sys.executable).with_name("tapeline")
    watching = subprocess.Popen(
        [program, "runs", "watch", str(run_id)], env=system.environment, cwd=system.folder,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert watching.stdout is not None
    assert watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    rest, complaint = watching.communicate(timeout=40)
    assert f"Run {run_id} continues. To end it: tapeline runs cancel {run_id}" in rest
    assert "Traceback" not in complaint
    assert watching.returncode == 130
    assert system.json("runs", "show", str(run_id))["state"] == "RUNNING"
