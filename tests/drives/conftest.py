"""Every test of this folder runs with every driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drives.rig import RIGS, Rig, not_here


@pytest.fixture(params=sorted(RIGS))
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    """A drive under test, empty."""
    reason = not_here(request.param)
    if reason:
        pytest.skip(f"{request.param}: {reason}")
    return RIGS[request.param](tmp_path)


@pytest.fixture
def virtual(tmp_path: Path) -> Rig:
    """A virtual drive, where many examples take no time."""
    return RIGS["virtual"](tmp_path)
