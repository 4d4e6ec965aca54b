"""What a template asks for, through real processes: excludes, increments, a point in time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tape import virtual_shelf
from tests.system import System

LABEL = f"TP{datetime.now(UTC):%Y%m}01"


@pytest.fixture
def source(short_path: Path) -> Path:
    folder = short_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def volume(system: System) -> Path:
    """A blank tape in the drive; where its files will be."""
    virtual_shelf.new_cartridge(system.drive.path, "A00001L9", capacity=10**9)
    virtual_shelf.insert(system.drive.path, "A00001L9")
    return virtual_shelf.folder_of(system.drive.path, "A00001L9") / "volume"


def fill(folder: Path, **files: str) -> None:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)


def back_up(system: System, *options: str) -> dict[str, object]:
    """Run the schedule by hand to its end."""
    run_id = int(system.json("schedule", "run", "monthly", *options)["run"])
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED", "SKIPPED")
    assert done["state"] == "SUCCEEDED", done
    return done


def paths(system: System, run: dict[str, object], source: Path) -> list[str]:
    """What the catalogue has of a run's set, below the source."""
    found = system.json("sets", "find", "*", "--set", str(run["set_id"]))
    return sorted(row["path"].removeprefix(f"{source}/") for row in found if row["path"] != str(source))


@pytest.mark.usefixtures("volume")
def test_rules_of_the_template_and_of_the_hand_leave_files_out(system: System, source: Path) -> None:
    """Patterns by hand come after those of the template; the story counts what was left out."""
    fill(source, a_txt="a", b_tmp="b", keep_tmp="k", c_iso="c")
    system.schedule("monthly", source, template={"excludes": ["*.tmp"]})
    system.start("control", "tape")
    run = back_up(system, "--exclude", "*.iso", "--exclude", "!keep.tmp")
    assert paths(system, run, source) == ["a.txt", "keep.tmp"]
    assert "Left out by the rules: 2" in system.cli("runs", "show", str(run["id"])).stdout
    bad = system.cli("schedule", "run", "monthly", "--exclude", "!", code=2)
    assert "excludes" in bad.stderr
