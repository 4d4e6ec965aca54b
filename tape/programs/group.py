"""Ends a program together with the processes that it started; on Windows also when its starter ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    import psutil

    INTERRUPT = signal.CTRL_BREAK_EVENT
    START = 0x200
    """CREATE_NEW_PROCESS_GROUP"""
    START_BOUND = START | 0x4
    """CREATE_SUSPENDED: it runs no instruction, and starts no process, before it is bound."""

    _KERNEL = ctypes.WinDLL("kernel32", use_last_error=True)
    for _function in (_KERNEL.CreateJobObjectW, _KERNEL.OpenProcess):
        _function.restype = wintypes.HANDLE

    _EXTENDED_LIMITS = 9
    _KILL_ON_CLOSE = 0x2000
    _SET_QUOTA_AND_TERMINATE = 0x0101

    class _Limits(ctypes.Structure):
        """JOBOBJECT_EXTENDED_LIMIT_INFORMATION, of which only the flags are used."""

        _fields_ = (
            ("times", ctypes.c_int64 * 2),
            ("flags", wintypes.DWORD),
            ("sizes", ctypes.c_size_t * 2),
            ("processes", wintypes.DWORD),
            ("affinity", ctypes.c_size_t),
            ("priority", wintypes.DWORD * 2),
            ("io", ctypes.c_uint64 * 6),
            ("memory", ctypes.c_size_t * 4),
        )

    class Bond:
        """Ends a program and its children when this process ends for any reason: a program that formats must
        not outlive the process that has the drive's lock, which Windows ties to a process."""

        def __init__(self, pid: int) -> None:
            """Bind a program that was started with ``START_BOUND``, and let it run. Raises OSError."""
            self._job = wintypes.HANDLE(_checked(_KERNEL.CreateJobObjectW(None, None)))
            try:
                self._limit(_KILL_ON_CLOSE)
                self._take(pid)
                psutil.Process(pid).resume()
            except BaseException:
                _KERNEL.CloseHandle(self._job)
                raise

        def release(self) -> None:
            """The program has ended: what it left behind, such as a mounted volume, keeps running."""
            self._limit(0)
            _KERNEL.CloseHandle(self._job)

        def _limit(self, flags: int) -> None:
            limits = _Limits(flags=flags)
            size = ctypes.sizeof(limits)
            _checked(_KERNEL.SetInformationJobObject(self._job, _EXTENDED_LIMITS, ctypes.byref(limits), size))

        def _take(self, pid: int) -> None:
            process = wintypes.HANDLE(_checked(_KERNEL.OpenProcess(_SET_QUOTA_AND_TERMINATE, 0, pid)))
            try:
                _checked(_KERNEL.AssignProcessToJobObject(self._job, process))
            finally:
                _KERNEL.CloseHandle(process)

    def _checked(result: int | None) -> int:
        if not result:
            raise ctypes.WinError(ctypes.get_last_error())
        return result

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

    class Bond:
        """Nothing: here a program inherits the lock itself, and keeps the drive locked as long as it
        lives."""

        def __init__(self, pid: int) -> None: ...

        def release(self) -> None:
            """Nothing is bound."""

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
