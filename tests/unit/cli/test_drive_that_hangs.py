"""``tapeline doctor`` comes back from a drive that never answers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from celery_app import settings
from cli.host import drive_checks
from cli.host.drive_checks import CheckFailed
from tape.programs import aside


@pytest.mark.skipif(sys.platform == "win32", reason="there nothing can be left behind")
def test_a_drive_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is said after its limit, and who asked it is left behind."""
    monkeypatch.setenv("TAPELINE_STATE_DIR", str(tmp_path))
    settings.SOURCE.forget()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Nobody reads it, so that opening it blocks as a getxattr does on a volume whose LTFS was stopped.
    monkeypatch.setattr(drive_checks, "_look", pipe.write_text)
    monkeypatch.setattr(drive_checks, "ANSWER_SECONDS", -9.5)
    monkeypatch.setattr(aside, "TICK", 0.1)
    with pytest.raises(CheckFailed, match="Drive tape0 has not answered"):
        drive_checks._tape("tape0")
    monkeypatch.undo()
    settings.SOURCE.forget()
