"""Settings are read again when their file changes; what a process is made from holds until its end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from celery_app import settings, settings_file
from celery_app.host.defaults import BadConfiguration

OPS = '[channels.ops]\ntype = "apprise"\nurl = "json://h"\n'


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of this process, which looks at it each time."""
    for name in list(os.environ):
        if name.startswith("TAPELINE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings, "HOST_FILE", tmp_path / "none")
    monkeypatch.setattr(settings_file, "LOOK_SECONDS", -1.0)
    settings.SOURCE.forget()
    yield tmp_path / "tapeline.toml"
    settings.SOURCE.forget()


def test_what_can_be_read_again_is(file: Path) -> None:
    """Channels and limits hold at once; a drive does not, and is named until it is as it was."""
    file.write_text("reminder_seconds = 100\n")
    assert settings.load().reminder_seconds == 100
    assert settings.SOURCE.behind == []
    file.write_text(f'reminder_seconds = 50\ndefault_drive = "other"\n{OPS}')
    found = settings.load()
    assert (found.reminder_seconds, found.default_drive, list(found.channels)) == (50, "tape0", ["ops"])
    assert settings.SOURCE.behind == ["default_drive"]
    file.write_text(OPS)
    assert list(settings.load().channels) == ["ops"]
    assert settings.SOURCE.behind == []


def test_a_file_that_cannot_be_read_changes_nothing(file: Path) -> None:
    """What was read before holds, and why is known, until the file is right again."""
    file.write_text(OPS)
    assert list(settings.load().channels) == ["ops"]
    file.write_text("[channels.ops\n")
    assert list(settings.load().channels) == ["ops"]
    assert "not valid TOML" in str(settings.SOURCE.problem)
    file.unlink()
    assert settings.load().channels == {}
    assert settings.SOURCE.problem is None


def test_at_its_start_a_wrong_file_is_an_error(file: Path) -> None:
    file.write_text("[channels.ops\n")
    with pytest.raises(BadConfiguration):
        settings.load()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("99", "drives.tape0.readers: Input should be less than or equal to 32. Correct it."),
        ("0", "drives.tape0.readers: Input should be greater than or equal to 1. Correct it."),
        ('"many"', "drives.tape0.readers: Input should be a valid integer"),
    ],
)
def test_readers_that_cannot_be(file: Path, value: str, problem: str) -> None:
    """One line that names the field."""
    file.write_text(f'[drives.tape0]\ndriver = "virtual"\npath = "/x"\nreaders = {value}\n')
    with pytest.raises(settings.BadConfiguration) as caught:
        settings.load()
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("value", "readers"), [('"auto"', None), ("32", 32)])
def test_readers_that_can(file: Path, value: str, readers: int | None) -> None:
    file.write_text(f'[drives.tape0]\ndriver = "virtual"\npath = "/x"\nreaders = {value}\n')
    assert settings.load().drive("tape0").readers == readers
