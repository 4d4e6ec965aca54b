"""A state folder that is short enough for sockets and that the servers' account can reach."""

from __future__ import annotations

import shutil
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedded.postgres import Postgres
from embedded.redis import Redis


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can pass through; pytest's own is closed to the servers of root."""
    folder = Path(tempfile.mkdtemp(prefix="tapeline-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def state(place: Path) -> Iterator[Path]:
    """The path of a state folder; servers that a test leaves running there are stopped."""
    folder = place / "state"
    yield folder
    Redis(folder).stop()
    Postgres(folder).stop()


def wait_until(condition: Callable[[], object], limit: float = 20) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture(name="wait_until")
def _wait_until() -> Callable[..., None]:
    return wait_until


@pytest.fixture
def script(place: Path) -> Callable[[str, str], Path]:
    """Write a Python program to start as a process of its own."""

    def write(name: str, text: str) -> Path:
        path = place / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        path.chmod(0o644)
        return path

    return write
