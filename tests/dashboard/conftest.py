"""A whole installation with its dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tape import virtual_shelf
from tests.dashboard.site import Site
from tests.system import System


@pytest.fixture
def system(short_path: Path, database_url: str, broker_url: str) -> Iterator[System]:
    """Tapeline in a folder of its own, with a schedule and no tape; every process ends with the test."""
    found = System(short_path, database_url, broker_url)
    source = found.folder / "source"
    source.mkdir()
    (source / "file.txt").write_text("content" * 1000)
    found.schedule("monthly", source)
    yield found
    found.close()


@pytest.fixture
def site(system: System) -> Site:
    """Its dashboard, with the login that was made for it."""
    return Site(system)


def insert_blank(system: System) -> None:
    """Put a new tape into the drive."""
    virtual_shelf.new_cartridge(system.drive.path, "A00001L9", capacity=10**9)
    virtual_shelf.insert(system.drive.path, "A00001L9")
