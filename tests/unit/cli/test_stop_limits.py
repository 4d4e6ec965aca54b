"""How long ``tapeline up`` waits at its end for the worker of a drive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from celery_app import settings
from cli.host import programs


@pytest.fixture
def drives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host with a real drive and a virtual one."""
    file = tmp_path / "tapeline.toml"
    file.write_text(
        '[drives.tape0]\ndriver = "ltfs"\ndevice = "/dev/sg1"\n'
        f'[drives.tape1]\ndriver = "virtual"\npath = "{tmp_path}"\n'
    )
    monkeypatch.setenv("TAPELINE_CONFIG", str(file))
    settings.SOURCE.forget()
    yield
    settings.SOURCE.forget()


@pytest.mark.usefixtures("drives")
def test_a_real_drive_is_waited_for_until_it_has_sealed_and_unmounted() -> None:
    """A minute is not enough for a large file and an index: its worker would be killed with LTFS mounted."""
    assert programs.tape_worker("tape0").stop_limit == 3 * 3600
    assert programs.tape_worker("tape1").stop_limit == 60
