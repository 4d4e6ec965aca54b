"""Starts programs: an argument list, no shell, a time limit, the output kept. Nothing else does."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from policy.message import M
from tape.errors import CommandNotFound, CommandNotStarted, CommandTimeout, DriveError
from tape.programs import group as process_group
from tape.programs.output import Output, output_file

ERRORS = 2
"""The descriptor of standard error, also where Python's own is replaced."""
TERMINATE_SECONDS = 2.0
"""How long to wait for a program that was asked to end, before it is killed."""
KILL_SECONDS = 5.0
"""How long to wait for a killed one: a program that hangs in a drive cannot be killed at all."""
MAX_PAUSE = 0.1
if sys.platform == "linux":
    import fcntl

PASSING_ERRORS = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY})
PASSING_ON_WINDOWS = frozenset({8, 32, 1359, 1450, 1455})
"""Memory, a file that a virus scanner has open, an error inside Windows, resources, the page file: all are
temporary, and CreateProcess started nothing."""

PLATFORM_ENCODING = "oem" if sys.platform == "win32" else "utf-8"


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ended. ``output``: stdout and stderr in order, the last mebibyte of them."""

    argv: tuple[str, ...]
    return_code: int
    seconds: float
    output: str


def run(
    argv: Sequence[str],
    *,
    limit: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    on_output: Callable[[str], None] | None = None,
    inherit: Sequence[int] = (),
    user: int | None = None,
    group: int | None = None,
    encoding: str | None = None,
    hidden: str | None = None,
    watch: Callable[[], None] | None = None,
) -> Completed:
    """Run a program to its end and return how it ended, with any return code.

    ``limit``: seconds. ``env`` is added to this process's. ``on_output`` gets each line as it comes, in the
    calling thread; if it raises, the program is ended. ``inherit``: descriptors that the program keeps open
    (POSIX; Windows ties locks to a process). ``user``, ``group``: run as them, without other groups.
    ``encoding``: of the output, else the platform's. ``hidden``: variables of this process that begin so are
    not passed on. ``watch`` is called a few times a second; if it raises, the program is ended. At the limit
    the program and its process group are ended, unless it already has a return code. A child that it leaves
    behind is not waited for. Raises CommandNotFound, CommandTimeout (with the output so far), DriveError if
    it could not be started, CommandNotStarted if a retry in a moment may succeed.
    """
    started = time.monotonic()
    with output_file() as (written, read), until(started + limit):
        output = Output(written, read, encoding or PLATFORM_ENCODING, on_output)
        process = start(
            argv,
            written,
            cwd=cwd,
            env=environment(env, hidden),
            inherit=inherit,
            user=user,
            group=group,
            bound=True,
        )
        with bound(process):
            try:
                code = _watch(process, output, started + limit, watch)
            except BaseException:
                end(process)
                raise
            seconds = time.monotonic() - started
            if code is None:
                raise timed_out(tuple(argv), limit, seconds, output, ended=end(process))
        return Completed(tuple(argv), code, seconds, output.text)


_ends: list[float] = []


@contextmanager
def until(end: float) -> Iterator[None]:
    """Meanwhile this process waits for a program, at most until this moment."""
    _ends.append(end)
    try:
        yield
    finally:
        _ends.remove(end)


def has_its_limit() -> bool:
    """Whether this process is waiting for a program, and the program's limit is not over."""
    return any(time.monotonic() < end for end in tuple(_ends))


@contextmanager
def bound(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Meanwhile the program ends with this process, if it could not keep the drive locked by itself."""
    try:
        bond = process_group.Bond(process.pid)
    except OSError as error:
        end(process)
        raise DriveError(
            M("A program could not be tied to this process: {reason}.", reason=error.strerror or str(error)),
            M("Nothing was done. Start the worker anew, outside of any other program's job."),
        ) from error
    try:
        yield
    finally:
        bond.release()


def spawn(
    argv: Sequence[str],
    *,
    log: Path | None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    user: int | None = None,
    group: int | None = None,
) -> RunningProgram:
    """Start a program that keeps running, in its own session.

    Its output is appended to ``log``; None: it goes to this process's standard error. Raises CommandNotFound,
    DriveError if it could not be started or the log not be written.
    """
    if log is None:
        return RunningProgram(
            start(argv, ERRORS, cwd=cwd, env=environment(env), inherit=(), user=user, group=group)
        )
    try:
        file = log.open("ab", buffering=0)
    except OSError as error:
        raise DriveError(
            M("The log {path} cannot be written: {reason}.", path=str(log), reason=error.strerror),
            M("Make its folder writable, or choose another."),
        ) from error
    with file:
        return RunningProgram(
            start(argv, file, cwd=cwd, env=environment(env), inherit=(), user=user, group=group)
        )


class RunningProgram:
    """A program that keeps running until it ends or is ended."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id, which is its group's too."""
        return self._process.pid

    def poll(self) -> int | None:
        """Its return code, or None while it runs."""
        return self._process.poll()

    def wait(self, limit: float) -> int | None:
        """Its return code, or None if it still runs after ``limit`` seconds."""
        return _wait(self._process, limit)

    def terminate(self) -> None:
        """Ask it to end; it handles its own children."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once, and every process of its group."""
        process_group.kill(self._process.pid)


LEAVE_SECONDS = 0.5
"""How long to wait for a killed companion before it is left behind."""
_left_behind: list[subprocess.Popen[bytes]] = []
"""Companions that could not be killed; checked when the next one is left."""


class Companion:
    """Another process of our own: a module, run by this Python, with requests on its standard input and
    answers on its standard output. As a context manager it is ended by closing its input."""

    stdin: BinaryIO
    stdout: BinaryIO

    def __init__(self, module: str, *arguments: str) -> None:
        """Raises OSError if it cannot be started."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin
        assert self._process.stdout
        self.stdin = cast("BinaryIO", self._process.stdin)
        self.stdout = cast("BinaryIO", self._process.stdout)
        _widen(self.stdout)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def __enter__(self) -> Companion:
        return self

    def leave(self) -> None:
        """Kill it, and do not wait long: one that hangs in a source cannot be killed at all."""
        self._process.kill()
        _wait(self._process, LEAVE_SECONDS)
        self._close()
        _left_behind[:] = [each for each in (*_left_behind, self._process) if each.poll() is None]

    def _close(self) -> None:
        for pipe in (self.stdout, self.stdin):
            with suppress(OSError):  # it may have ended before us, with unsent data
                pipe.close()

    def __exit__(self, *_: object) -> None:
        self._close()
        if self._process in _left_behind:
            return
        if _wait(self._process, TERMINATE_SECONDS) is None:
            self._process.kill()
            _wait(self._process, KILL_SECONDS)


def _widen(pipe: BinaryIO) -> None:
    """Give a pipe the largest permitted buffer, so that both sides work in longer turns."""
    if sys.platform == "linux":
        with suppress(OSError):  # the user's quota of pipe buffers is used up: it works as it is
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)


def start(
    argv: Sequence[str],
    output: IO[bytes] | int,
    *,
    cwd: Path | None,
    env: Mapping[str, str],
    inherit: Sequence[int],
    user: int | None,
    group: int | None,
    bound: bool = False,
    is_data: bool = False,
) -> subprocess.Popen[bytes]:
    """``is_data``: what it prints is read from a pipe, and ``output`` gets its messages."""
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if is_data else output,
            stderr=output if is_data else subprocess.STDOUT,
            bufsize=0 if is_data else -1,
            cwd=cwd,
            env=env,
            **_platform_options(inherit, user, group, bound=bound),
        )
    except (OSError, ValueError) as error:
        raise _not_started(argv[0], cwd, error) from error


def environment(added: Mapping[str, str] | None, hidden: str | None = None) -> dict[str, str]:
    # Passed on, not read: messages must be in English, in any language of the operator's session.
    own = {name: value for name, value in os.environ.items() if not (hidden and name.startswith(hidden))}
    return {**own, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **(added or {})}


if sys.platform == "win32":

    def _platform_options(
        _inherit: Sequence[int], user: int | None, group: int | None, *, bound: bool
    ) -> dict[str, Any]:
        if user is not None or group is not None:
            raise ValueError("Windows has no user and group numbers")
        return {"creationflags": process_group.START_BOUND if bound else process_group.START}

else:

    def _platform_options(
        inherit: Sequence[int], user: int | None, group: int | None, *, bound: bool
    ) -> dict[str, Any]:
        del bound  # Only on Windows: elsewhere a program inherits the lock
        options: dict[str, Any] = {"start_new_session": True, "pass_fds": tuple(inherit)}
        if user is not None or group is not None:
            options |= {"user": user, "group": group, "extra_groups": []}
        return options


def _not_started(program: str, cwd: Path | None, error: OSError | ValueError) -> DriveError:
    if cwd is not None and not cwd.is_dir():
        return DriveError(
            M("The folder {folder} for {program} is missing.", folder=str(cwd), program=program),
            M("Make the folder, or correct the setting that names it."),
        )
    if isinstance(error, FileNotFoundError):
        return CommandNotFound(
            M("The program {program} is not installed.", program=program),
            M("Install it, or give its full path in the settings."),
        )
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if _passes(error):
        return CommandNotStarted(
            M("The program {program} cannot be started just now: {reason}.", program=program, reason=reason),
            M("See what uses up this machine's memory, processes or files; nothing was begun, try again."),
        )
    kind = CommandNotFound if isinstance(error, (PermissionError, NotADirectoryError)) else DriveError
    return kind(
        M("The program {program} cannot be started: {reason}.", program=program, reason=reason),
        M("Check that it is a program for this machine and that this user may run it."),
    )


def _passes(error: OSError | ValueError) -> bool:
    """Whether a program that could not be started for this reason may start in a moment."""
    if isinstance(error, OSError) and getattr(error, "winerror", None) is not None:
        return error.winerror in PASSING_ON_WINDOWS  # type: ignore[attr-defined,unused-ignore]
    return isinstance(error, OSError) and error.errno in PASSING_ERRORS


def _watch(
    process: subprocess.Popen[bytes], output: Output, deadline: float, watch: Callable[[], None] | None
) -> int | None:
    """Follow the output to the program's end; its return code, or None at the deadline."""
    pause = 0.001
    while True:
        more = output.follow()
        if watch is not None:
            watch()
        code = process.poll()
        if code is not None:
            output.finish()
            return code
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        if not more:
            time.sleep(min(pause, left))
            pause = min(pause * 2, MAX_PAUSE)


def end(process: subprocess.Popen[bytes]) -> bool:
    """Terminate the group, wait a moment, kill it, reap; False if even that did not end it."""
    if process.poll() is None:
        process_group.terminate(process.pid)
        _wait(process, TERMINATE_SECONDS)
    process_group.kill(process.pid)
    return _wait(process, KILL_SECONDS) is not None


def _wait(process: subprocess.Popen[bytes], limit: float) -> int | None:
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None


def timed_out(
    argv: tuple[str, ...], limit: float, seconds: float, output: Output, *, ended: bool
) -> CommandTimeout:
    output.finish()
    if ended:
        message = M("{program} did not end within {limit:g} s and was ended.", program=argv[0], limit=limit)
    else:
        message = M(
            "{program} did not end within {limit:g} s and cannot be killed.", program=argv[0], limit=limit
        )
    remedy = M("Look at the drive: see what is in it before it is used again.")
    return CommandTimeout(message, remedy, argv=argv, seconds=seconds, output=output.text)
