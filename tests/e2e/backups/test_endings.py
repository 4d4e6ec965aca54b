"""What an operator reads when a run that was followed has ended."""

from __future__ import annotations

import getpass
import shutil
from pathlib import Path

import pytest

from tests.system import System


@pytest.fixture
def source(short_path: Path) -> Path:
    folder = short_path / "source"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    return folder


def test_a_failure_is_shown_with_its_remedy_and_the_next_command(system: System, source: Path) -> None:
    """By the command that ran it, by the one that follows it, and in its story; a command that the remedy
    names is named once. Each error stands once, in its place in time, also after a retry."""
    system.schedule("monthly", source)
    system.start("control", "tape")
    ran = system.cli("schedule", "run", "monthly", code=1).stdout
    watched = system.cli("runs", "watch", "1", code=1).stdout
    shown = system.cli("runs", "show", "1").stdout
    for told in (ran, watched, shown):
        assert "With the right tape in the drive: tapeline runs retry 1\n" in told
        assert told.count("runs retry 1") == 1

    system.insert_blank()
    shutil.rmtree(source)
    system.cli("runs", "retry", "1")
    system.wait_for_state(1, "FAILED")
    system.wait_for(lambda: story(system).count("was informed") == 3, "the end of the second chain")
    again = system.cli("runs", "watch", "1", code=1).stdout
    assert [line.split(":")[0] for line in again.splitlines()] == [
        f"· Queued for drive tape0 by {getpass.getuser()}.",
        "· QUEUED → RUNNING",
        "precheck",
        "  · In drive tape0",
        "✗ RUNNING → FAILED",
        "notify",
        "  ! No channel is set up, so nobody was informed.",
        "· FAILED → QUEUED",
        "· QUEUED → RUNNING",
        "precheck",
        "  ✗ failed",
        "✗ RUNNING → FAILED",
        "notify",
        "  ! No channel is set up, so nobody was informed.",
        "  ! nobody was informed",
        "",
        "Run 1",
        "Correct the path, or mount its file system, and run again.",
        "To continue",
    ]


def test_a_success_that_left_something_out_says_so(system: System, source: Path, short_path: Path) -> None:
    """In its last line, in the list and in the overview, for scripts as well; still a success."""
    system.insert_blank()
    system.schedule("monthly", source, short_path / "gone")
    system.start("control", "tape")
    ran = system.cli("schedule", "run", "monthly").stdout
    assert ran.endswith("Run 1: SUCCEEDED, 1 warning\n")
    assert "SUCCEEDED, 1 warning  " in system.cli("runs").stdout
    assert "(monthly), SUCCEEDED, 1 warning, " in system.cli("status").stdout
    assert "SUCCEEDED, 1 warning\n" in story(system)
    assert system.cli("runs", "--state", "failed").stdout == "No run is FAILED.\n"
    [listed] = system.json("runs")
    assert listed["warnings"] == 1
    assert system.json("status")["last"]["warnings"] == system.json("runs", "show", "1")["warnings"] == 1
    system.environment["TAPELINE_LANGUAGE"] = "zh_CN"
    assert "成功，有 1 条警告" in system.cli("runs").stdout


def story(system: System) -> str:
    return system.cli("runs", "show", "1").stdout
