"""A whole installation with its dashboard."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from embedded.servers import Servers
from tests.dashboard import seeds
from tests.dashboard.dashboard import Dashboard
from tests.system import System


def a_system(folder: Path, database_url: str, broker_url: str) -> System:
    """Tapeline in a folder, with a schedule and no tape."""
    found = System(folder, database_url, broker_url)
    source = found.folder / "source"
    source.mkdir()
    (source / "file.txt").write_text("content" * 1000)
    found.schedule("monthly", source)
    return found


@contextmanager
def a_folder() -> Iterator[Path]:
    """A new folder with a short name that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="tl-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def system(short_path: Path, database_url: str, broker_url: str) -> Iterator[System]:
    """Tapeline in a folder of its own, with a schedule and no tape; every process ends with the test."""
    found = a_system(short_path, database_url, broker_url)
    yield found
    found.close()


@pytest.fixture
def dashboard(system: System) -> Dashboard:
    """Its dashboard, with the login that was made for it."""
    return Dashboard(system)


@pytest.fixture(scope="module")
def shared(
    servers: Servers, fresh_database: Callable[[], AbstractContextManager[str]]
) -> Iterator[Dashboard]:
    """A dashboard for the tests that only look, with tapes, runs and names as nobody should give them."""
    with a_folder() as folder, fresh_database() as url:
        found = a_system(folder, url, servers.broker_url)
        seeds.sow(found.database)
        try:
            yield Dashboard(found)
        finally:
            found.close()
