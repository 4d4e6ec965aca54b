"""The units of systemd/, by systemd itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from celery_app.drive_settings import LtfsDriveSettings

FOLDER = Path(__file__).parents[2] / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
USER_UNITS = sorted((FOLDER / "user").glob("*.service"))
BIN = Path(sys.executable).parent
EXPOSED = {"tapeline-tape@.service": 7.3, "tapeline.service": 7.3}
"""How far a unit may be open by systemd's own scale of 0 to 10; the others: 2."""

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A copy of them whose programs are those of this environment: systemd asks whether they exist."""
    for unit in UNITS:
        text = unit.read_text().replace("/opt/tapeline/bin/tapeline", str(BIN / "tapeline"))
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def _analyze(*words: str | Path) -> str:
    done = subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_finds_nothing_to_say(units: Path) -> None:
    """No unknown option, no wrong value, no program that is not there."""
    assert _analyze("verify", *sorted(units.iterdir())) == ""


def test_systemd_finds_nothing_to_say_of_the_units_of_a_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They run what 'make install' has made, with lingering also without a login."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for unit in USER_UNITS:
        text = unit.read_text().replace("%h/tapeline/.venv/bin/tapeline", str(BIN / "tapeline"))
        (tmp_path / unit.name).write_text(text)
        assert _analyze("verify", "--user", tmp_path / unit.name) == ""
        assert "WantedBy=default.target" in text


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_how_far_a_unit_is_locked_up(unit: Path, units: Path) -> None:
    """By the scale of systemd, below what is set for it."""
    told = _analyze("security", "--offline=true", units / unit.name)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert found, told
    assert float(found[1]) <= EXPOSED.get(unit.name, 2.0)


@pytest.mark.parametrize("name", ["tapeline-tape@.service", "tapeline.service", "user/tapeline.service"])
def test_a_unit_waits_until_a_real_drive_is_done(name: str) -> None:
    """As long as 'tapeline up' waits for a worker, which is longer than a format takes; then for the rest."""
    found = re.search(r"^TimeoutStopSec=(\d+)h$", (FOLDER / name).read_text(), re.MULTILINE)
    assert found
    limit = LtfsDriveSettings(driver="ltfs", device="/dev/sg1")
    assert limit.format_limit_seconds < limit.stop_seconds
    others = 0 if "@" in name else 1800
    assert int(found[1]) * 3600 >= limit.stop_seconds + others


@pytest.mark.parametrize("name", ["tapeline-tape@.service", "tapeline.service"])
def test_a_tape_worker_is_never_killed(name: str) -> None:
    """Nor is what it started: LTFS writes its index when the worker is gone."""
    text = (FOLDER / name).read_text()
    for line in ("KillMode=process", "SendSIGKILL=no", "Restart=always"):
        assert f"\n{line}\n" in text
    # What would give the service a table of mounts of its own, or forbid setuid programs.
    harmful = re.compile("Protect|PrivateTmp|PrivateDevices|PrivateMounts|SystemCall|Restrict[A-Z]")
    assert not [name for name in re.findall(r"^(\w+)=", text, re.MULTILINE) if harmful.match(name)]
