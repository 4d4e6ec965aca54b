"""A file system of our own: one that is there and never answers, as a dead file server's, or another."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HANGING = Path(__file__).parent / "hanging.py"
CAN_MOUNT = sys.platform == "linux" and os.geteuid() == 0 and Path("/dev/fuse").exists()

needs_fuse = pytest.mark.skipif(not CAN_MOUNT, reason="root alone may mount here")


@contextmanager
def mounted(folder: Path, what: str, program: Path = HANGING) -> Iterator[Path]:
    """A folder of which one path never answers ``what`` it is asked, or what another program makes of it; it
    is let go at the end."""
    point = folder / f"mount-{what}"
    point.mkdir()
    server = subprocess.Popen([sys.executable, str(program), what, str(point)])
    try:
        while not point.is_mount():
            assert server.poll() is None
            time.sleep(0.05)
        yield point
    finally:
        server.kill()
        server.wait(20)
        subprocess.run(["umount", "-l", str(point)], check=False)
