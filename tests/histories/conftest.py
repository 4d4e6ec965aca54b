"""The stage of the histories: one for each process that runs tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.histories.machinery.stage import stage
from tests.histories.world import Parts

MEMORY = Path("/dev/shm")


@pytest.fixture
def parts(database_url: str) -> Iterator[Parts]:
    """What histories are made of, in memory where the machine has a place for that."""
    folder = Path(tempfile.mkdtemp(prefix="tl-", dir=MEMORY if MEMORY.is_dir() else None))
    with stage(folder, database_url) as made:
        yield made
    shutil.rmtree(folder)


HERE = Path(__file__).parent
SHARDS = 8
MAX_IN_A_SHARD = 250
THOROUGH = 1000
SHARE = {"test_worst_days": 4, "test_library_histories": 8, "test_copied_sets": 4}
"""What takes this many times as long as a plain history is tried so much less often, unless thoroughly."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """``make test-all`` runs them with the others, ``make soak`` many more of them."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("histories")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Many histories are many tests, so that every process has its share."""
    if "shard" not in metafunc.fixturenames:
        return
    wanted, seed = (metafunc.config.getoption(name) for name in ("--histories", "--histories-seed"))
    if wanted < THOROUGH:
        wanted = max(1, wanted // SHARE.get(metafunc.definition.name, 1))
    shards = max(SHARDS, -(-wanted // MAX_IN_A_SHARD))
    each = -(-wanted // shards)
    shares = [(seed * 10_000 + number, each) for number in range(shards)]
    metafunc.parametrize("shard", shares, ids=[f"seed {number}" for number, _ in shares])


@pytest.fixture
def thorough(pytestconfig: pytest.Config) -> bool:
    """Whether so many histories are wanted that everything else is to be tried as well."""
    return int(pytestconfig.getoption("--histories")) >= THOROUGH
