"""Every test of this folder runs with every driver of a changer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.changers.rig import RIGS, Rig


@pytest.fixture(params=sorted(RIGS))
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    """A library under test, empty."""
    make, missing = RIGS[request.param]
    reason = missing()
    if reason:
        pytest.skip(f"{request.param}: {reason}")
    return make(tmp_path)
