"""A drive of the Windows driver: under Windows (or wine) behind a real letter, elsewhere behind a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drives.rigs import RIGS
from tests.drives.windows_rig import WindowsRig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WindowsRig]:
    """The drive, with a blank cartridge in it."""
    _, missing = RIGS["ltfs_windows"]
    reason = missing()
    if reason:
        pytest.skip(reason)
    made = WindowsRig(tmp_path)
    made.insert_blank()
    yield made
    made.close()
