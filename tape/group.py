"""A program and the processes that it started, ended together."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

if sys.platform == "win32":
    import psutil

    INTERRUPT = signal.CTRL_BREAK_EVENT

    def terminate(pid: int) -> None:
        """Ask a program and its children to end."""
        _each(pid, lambda process: process.terminate())

    def kill(pid: int) -> None:
        """End a program and its children at once."""
        _each(pid, lambda process: process.kill())

    def _each(pid: int, act: Callable[[psutil.Process], None]) -> None:
        with suppress(psutil.NoSuchProcess):
            leader = psutil.Process(pid)
            for process in [*leader.children(recursive=True), leader]:
                with suppress(psutil.NoSuchProcess):
                    act(process)

else:
    INTERRUPT = signal.SIGINT

    def terminate(pid: int) -> None:
        """Ask every process of a group to end."""
        _send(pid, signal.SIGTERM)

    def kill(pid: int) -> None:
        """End every process of a group at once."""
        _send(pid, signal.SIGKILL)

    def _send(pid: int, number: signal.Signals) -> None:
        # macOS answers "not permitted" for a group whose processes have all ended.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)
