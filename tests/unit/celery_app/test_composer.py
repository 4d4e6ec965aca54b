"""The composer of messages that a process keeps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from celery_app import settings, wiring
from notify.events import Event
from notify.samples import SAMPLES


def test_templates_are_compiled_once_and_again_when_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second message has the composer of the first, and the words that the operator has written since."""
    template = tmp_path / "own" / "en" / "failed.md.j2"
    template.parent.mkdir(parents=True)
    template.write_text("Before\n")
    configured = settings.Settings(state_dir=tmp_path, templates_dir=tmp_path / "own", language="en")
    monkeypatch.setattr(settings, "load", lambda: configured)
    composer = wiring.composer()
    assert composer.compose(SAMPLES[Event.FAILED]).title == "Tapeline · Before"
    assert wiring.composer() is composer
    template.write_text("After\n")
    os.utime(template, ns=(1, 1))
    assert wiring.composer().compose(SAMPLES[Event.FAILED]).title == "Tapeline · After"


def test_other_settings_have_another_composer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that are read again count at once."""
    addresses: list[str | None] = [None, "https://backup.example/"]
    made = [settings.Settings(state_dir=tmp_path, language="en", dashboard_url=each) for each in addresses]
    plain = []
    for configured in made:
        monkeypatch.setattr(settings, "load", lambda configured=configured: configured)
        plain.append(wiring.composer().compose(SAMPLES[Event.FAILED]).markdown)
    assert "backup.example" not in plain[0]
    assert "backup.example" in plain[1]
