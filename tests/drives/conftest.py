"""Every test of this folder runs with every driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drives.rig import RIGS, Rig


@pytest.fixture(params=sorted(RIGS))
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    """A drive under test, empty."""
    return RIGS[request.param](tmp_path)
