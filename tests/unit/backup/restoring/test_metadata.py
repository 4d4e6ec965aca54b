"""What a restored file gets of its owner and mode, by who restores it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from backup.restoring import metadata

ME = 1000


@pytest.mark.parametrize(
    ("euid", "owner", "mode"),
    [(0, 1234, 0o6755), (ME, ME, 0o6755), (ME, 1234, 0o755), (ME, 0, 0o755)],
    ids=["root", "its owner", "somebody else", "root's by somebody else"],
)
def test_set_user_id_is_kept_only_for_the_owner_it_was_meant_for(
    rig: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, euid: int, owner: int, mode: int
) -> None:
    """Restored by another user, a program that ran as its owner would run as whoever restored it."""
    (rig.source / "program").write_text("x")
    rig.back_up()
    entry = rig.entries()["program"]._replace(mode=0o6755, uid=owner, gid=owner)
    monkeypatch.setattr(os, "geteuid", lambda: euid)
    monkeypatch.setattr(os, "chown", lambda *_args, **_options: None)
    opened, named = tmp_path / "opened", tmp_path / "named"
    opened.touch()
    os.mkfifo(named)
    with opened.open("rb") as file:
        assert metadata.apply_open(file.fileno(), entry) == []
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        metadata.apply_named(folder, b"named", entry)
    finally:
        os.close(folder)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (opened, named)] == [mode, mode]
