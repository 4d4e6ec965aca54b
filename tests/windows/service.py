"""Starts a program as a manager of services on Windows does, and asks it to end with Ctrl-C in its console.

``python -m tests.windows.service STOP PROGRAM...``: the program runs until the file STOP is there. What it
prints goes to the standard output, and its exit code is the last line.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import time
from pathlib import Path

CTRL_C = 0
TIMEOUT = 60


def main() -> None:
    """Run the program to its end."""
    stop = Path(sys.argv[1])
    assert sys.platform == "win32"
    with subprocess.Popen(
        sys.argv[2:], stdin=subprocess.DEVNULL, creationflags=subprocess.CREATE_NO_WINDOW
    ) as process:
        while process.poll() is None and not stop.exists():
            time.sleep(0.2)
        if process.poll() is None:
            _press_ctrl_c(process.pid)
        code = process.wait(TIMEOUT)
    sys.stdout.write(f"exit code {code}\n")


def _press_ctrl_c(pid: int) -> None:
    """In the console of the program, which is another one than that of this process."""
    console = ctypes.WinDLL("kernel32", use_last_error=True)
    console.FreeConsole()
    for done in (
        console.AttachConsole(pid),
        console.SetConsoleCtrlHandler(None, True),
        console.GenerateConsoleCtrlEvent(CTRL_C, 0),
    ):
        if not done:
            raise ctypes.WinError(ctypes.get_last_error())


if __name__ == "__main__":
    main()
