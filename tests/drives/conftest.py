"""Every test of this folder runs with every driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drives.rig import Rig
from tests.drives.rigs import RIGS


@pytest.fixture(params=sorted(RIGS))
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """A drive under test, empty. A test that is marked ``needs`` is for the drives that can do that."""
    make, missing = RIGS[request.param]
    reason = missing()
    if reason:
        pytest.skip(f"{request.param}: {reason}")
    for mark in request.node.iter_markers("needs"):
        lacking = [trait for trait in mark.args if not getattr(make, trait)]
        if lacking:
            pytest.skip(f"{request.param} has not: {', '.join(lacking)}")
    made = make(tmp_path)
    yield made
    made.close()


@pytest.fixture
def virtual(tmp_path: Path) -> Rig:
    """A virtual drive, where many examples take no time."""
    return RIGS["virtual"][0](tmp_path)
