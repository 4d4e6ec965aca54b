"""An installation for each chapter."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.guide import quick
from tests.guide.reader import Reader
from tests.system import System


@pytest.fixture(scope="module")
def programs() -> Iterator[Path]:
    """A folder with a ``tapeline`` that is loaded already."""
    folder = Path(tempfile.mkdtemp(prefix="tl-"))
    quick.make_client(folder / "bin", folder / "socket")
    command = [sys.executable, "-m", "tests.guide.quick", str(folder / "socket")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout
        assert server.stdout.readline() == b"ready\n"
        yield folder / "bin"
    shutil.rmtree(folder)


@pytest.fixture
def reader(short_path: Path, database_url: str, broker_url: str, programs: Path) -> Iterator[Reader]:
    """A reader of the guide, before the chapter's first line."""
    system = System(short_path, database_url, broker_url)
    path = broker_url.removeprefix("redis+socket://").split("?")[0]
    with redis.Redis(unix_socket_path=path) as broker:
        # As tapeline doctor wants a broker to be.
        broker.config_set("appendonly", "yes")
        found = Reader(system, broker, programs)
        yield found
        found.close()
        broker.config_set("appendonly", "no")
    system.close()
