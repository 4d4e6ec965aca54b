"""A whole installation for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from cli import sample
from tests.system import System


@pytest.fixture
def system(short_path: Path, database_url: str, broker_url: str) -> Iterator[System]:
    """Tapeline in a folder of its own; every process ends with the test."""
    found = System(short_path, database_url, broker_url)
    yield found
    found.close()


@pytest.fixture
def broker_client(broker_url: str) -> Iterator[redis.Redis]:
    """A connection to the broker, to do harm with."""
    with redis.Redis(unix_socket_path=broker_url.removeprefix("redis+socket://").split("?")[0]) as client:
        yield client


@pytest.fixture
def source(short_path: Path) -> Path:
    """Files of mixed sizes, names in Chinese, links, empty files, a sparse one."""
    folder = short_path / "source"
    sample.make(folder, large=2 << 20, small=60)
    return folder
