"""File systems of our own, each served by a program beside this one: dead ones, false ones, slow ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
CAN_MOUNT = sys.platform == "linux" and os.geteuid() == 0 and Path("/dev/fuse").exists()

needs_fuse = pytest.mark.skipif(not CAN_MOUNT, reason="root alone may mount here")


@contextmanager
def served(point: Path, program: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """What a program makes of its options, mounted at a point while the context lasts; gives the process that
    serves it."""
    point.mkdir(exist_ok=True)
    server = subprocess.Popen([sys.executable, str(program), *options, str(point)])
    try:
        while not point.is_mount():
            assert server.poll() is None
            time.sleep(0.05)
        yield server
    finally:
        server.kill()
        server.wait(20)
        subprocess.run(["umount", "-l", str(point)], check=False)


@contextmanager
def mounted(folder: Path, what: str, program: Path = HERE / "hanging.py") -> Iterator[Path]:
    """A folder of which one path never answers ``what`` it is asked, or what another program makes of it."""
    with served(folder / f"mount-{what}", program, what):
        yield folder / f"mount-{what}"


@contextmanager
def shared(folder: Path, point: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A folder as a share has it; ``options``: those of ``share.py``."""
    with served(point, HERE / "share.py", json.dumps(options), str(folder)) as server:
        yield server
