"""``tapeline doctor`` proves by serial number which drive of the host has which number in the changer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from celery_app import settings
from cli.host import changer_checks
from policy.errors import TapelineError
from tests.changers.rig import Rig, install

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no changer there")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with a drive of LTFS whose serial number is TAPE0, and stand-ins for mtx and sg_inq."""
    Rig(tmp_path)
    programs = install(tmp_path / "bin")
    inquiry = tmp_path / "bin" / "sg_inq"
    lines = ("VPD INQUIRY: Unit serial number page", "  Unit serial number: TAPE0")
    inquiry.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    inquiry.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TAPELINE_CONFIG", str(tmp_path / "tapeline.toml"))
    configure(tmp_path, "{ 0 = 'tape0' }", programs)
    settings.SOURCE.forget()
    return tmp_path


def configure(folder: Path, drives: str, programs: dict[str, str]) -> None:
    given = ", ".join(f"{name} = '{path}'" for name, path in programs.items())
    (folder / "tapeline.toml").write_text(
        f"state_dir = '{folder / 'state'}'\n[drives.tape0]\ndriver = 'ltfs'\ndevice = '{folder / 'tape0'}'\n"
        f"[changers.lib0]\ndriver = 'mtx'\ndevice = '{folder / 'library'}'\ndrives = {drives}\n"
        f"programs = {{ {given} }}\n"
    )
    settings.SOURCE.forget()


def found() -> dict[str, str | TapelineError]:
    """The result of each check, or the error that it ends with."""
    results: dict[str, str | TapelineError] = {}
    for name, check in changer_checks.checks():
        try:
            results[str(name)] = str(check())
        except TapelineError as error:
            results[str(name)] = error
    return results


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    settings.SOURCE.forget()


def test_the_right_number_is_proved(host: Path) -> None:
    assert found() == {
        "Library lib0": "4 slots, 1 mail slots, 2 drives; 0 cartridges",
        "Drive 0 of lib0": "tape0, serial number TAPE0",
    }


def test_a_wrong_number_names_what_is_there(host: Path) -> None:
    """The robot would take the tape of another drive."""
    configure(host, "{ 1 = 'tape0' }", install(host / "bin"))
    wrong = found()["Drive 1 of lib0"]
    assert isinstance(wrong, changer_checks.CheckFailed)
    assert "TAPE1" in str(wrong)
    assert "TAPE0" in str(wrong)


def test_a_number_that_the_changer_has_not_is_named(host: Path) -> None:
    configure(host, "{ 7 = 'tape0' }", install(host / "bin"))
    wrong = found()["Library lib0"]
    assert isinstance(wrong, changer_checks.CheckFailed)
    assert "no drive 7" in str(wrong)


def test_a_changer_that_tells_no_serials_proves_nothing(host: Path) -> None:
    """That is no fault, but somebody should prove it once."""
    (host / "library" / "tells_no_serials").touch()
    unproved = found()["Drive 0 of lib0"]
    assert isinstance(unproved, changer_checks.Unproved)
    assert "library load" in str(unproved.remedy)


def test_windows_has_no_changer(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changer_checks.sys, "platform", "win32")
    assert "Windows has no changer" in str(found()["Library lib0"])
