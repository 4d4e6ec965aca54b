"""The installed application: every room and its data, under names that are ours alone."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MANUAL = "tapeline-0.1.0.data/data/share/tapeline"
"""Where the wheel has the pages that the dashboard shows."""
ROOMS = ["backup", "celery_app", "cli", "dashboard", "db", "embedded", "notify", "policy", "tape", "tasks"]


@pytest.mark.parametrize("room", ROOMS)
def test_each_name_belongs_to_us_alone(room: str) -> None:
    """Two distributions that ship the same package would overwrite each other without a word."""
    owners = set(packages_distributions().get(room, ["tapeline"]))
    assert owners == {"tapeline"}


def test_the_wheel_holds_every_module_and_all_data(tmp_path: Path) -> None:
    """What is in the tree is in the wheel, and the tests are not."""
    source = tmp_path / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    for name in tracked:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(tmp_path),
        str(source),
    ]
    subprocess.run(build, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    there = [name for name in tracked if (ROOT / name).is_file()]
    wanted = {name for name in there if name.split("/")[0] in ROOMS}
    manual = {f"{MANUAL}/{name}" for name in there if name.startswith("docs/")}
    assert held == wanted | manual
