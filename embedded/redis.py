"""An embedded Redis, reached through one socket in the state folder."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil

from embedded import binaries, copies, logs
from embedded.account import Account, for_servers
from embedded.errors import ServerFailed
from embedded.folders import check_socket, make_private, make_state, translated, write_public
from embedded.launch import launch
from policy.message import M

START_LIMIT = 60
STOP_LIMIT = 30
PROBE_LIMIT = 5
# From the program's return until its background process is visible.
APPEAR_LIMIT = 3
_NAMES = ("redis-server", "valkey-server")


class Redis:
    """A Redis in ``<state>/redis``; other users of the machine cannot enter it.

    Several objects, in several processes, may represent the same server. Nothing here guards starting and
    stopping: Servers does that. ``durable=False``: nothing is stored on disk.
    """

    def __init__(self, state: Path, *, durable: bool = True) -> None:
        self.state = state = state.resolve()
        self.durable = durable
        self.folder = state / "redis"
        self.socket = self.folder / "redis.sock"
        self.log = self.folder / "redis.log"
        self._pid_file = self.folder / "redis.pid"
        self._config = state / "redis.conf"

    @property
    def url(self) -> str:
        """The address for Celery."""
        return f"redis+socket://{quote(str(self.socket))}?virtual_host=0"

    def running(self) -> bool:
        """Whether it answers now, with its data loaded."""
        return self._ask("PING").startswith("+PONG")

    def start(self) -> None:
        """Start it; use a running one as it is.

        Raises ServerNotInstalled, ServerFailed, StateFolderUnusable.
        """
        if self.running():
            return
        account = for_servers()
        self._make_folders(account)
        if not self._is_coming_up():
            self._start(account)

    def stop(self) -> None:
        """Stop it after it has written its file; does nothing if it does not run. Raises ServerFailed."""
        process = self._process()
        if process is not None and not self.socket.exists():
            process.terminate()
        self._ask("SHUTDOWN")
        deadline = time.monotonic() + STOP_LIMIT
        while self.running() or (process is not None and _is_alive(process)):
            if time.monotonic() > deadline:
                raise ServerFailed(
                    M("Redis did not stop within {limit} s.", limit=STOP_LIMIT),
                    M("Look into {log}.", log=str(self.log)),
                )
            time.sleep(0.01)

    def _make_folders(self, account: Account) -> None:
        check_socket(self.socket)
        make_state(self.state, account)
        make_private(self.folder, account)

    def _is_coming_up(self) -> bool:
        """Wait for a Redis that another process started; stop one whose socket was removed."""
        deadline = time.monotonic() + START_LIMIT
        while self._process() is not None:
            if self.running():
                return True
            if not self.socket.exists():
                self.stop()
            elif time.monotonic() > deadline:
                raise ServerFailed(
                    M("Redis runs and does not answer for {limit} s.", limit=START_LIMIT),
                    M("Look into {log}.", log=str(self.log)),
                )
            time.sleep(0.05)
        return False

    def _start(self, account: Account) -> None:
        program = copies.redis(binaries.redis(), self.state, account)
        with translated(self.folder):
            self.socket.unlink(missing_ok=True)
            self._pid_file.unlink(missing_ok=True)
            logs.rotate(self.log)
        write_public(self._config, self._configuration())
        since = logs.size(self.log)
        done = launch([str(program), str(self._config)], limit=START_LIMIT, account=account)
        if done.return_code != 0 or not self._comes_up():
            log_lines = logs.last_lines(self.log, since=since) or done.output.strip()
            raise ServerFailed(
                M("Redis did not start: {reason}", reason=log_lines),
                M(
                    "Look into {log}, or give the address of a server in TAPELINE_BROKER_URL.",
                    log=str(self.log),
                ),
            )

    def _comes_up(self) -> bool:
        begun = time.monotonic()
        while time.monotonic() < begun + START_LIMIT:
            if self.running():
                return True
            if time.monotonic() > begun + APPEAR_LIMIT and self._process() is None:
                return False
            time.sleep(0.01)
        return False

    def _configuration(self) -> str:
        settings = [
            ("port", "0"),
            ("unixsocket", _quoted(self.socket)),
            ("unixsocketperm", "700"),
            ("daemonize", "yes"),
            ("dir", _quoted(self.folder)),
            ("pidfile", _quoted(self._pid_file)),
            ("logfile", _quoted(self.log)),
            ("appendonly", "yes" if self.durable else "no"),
            ("appendfsync", "everysec"),
            ("save", '""'),
            ("maxmemory-policy", "noeviction"),
        ]
        lines = [
            "# Written at every start: changes are lost.",
            *(f"{name} {value}" for name, value in settings),
        ]
        return "\n".join(lines) + "\n"

    def _process(self) -> psutil.Process | None:
        """The server's process, if the file still names a Redis of this folder."""
        with translated(self.folder), suppress(psutil.Error, ValueError, FileNotFoundError):
            process = psutil.Process(int(self._pid_file.read_text("ascii")))
            command_line = " ".join(process.cmdline())
            ours = str(self.socket) in command_line or str(self._config) in command_line
            # Root uses a file of nobody only if the process that it names belongs to nobody too.
            ours = ours and process.uids().effective == self.folder.stat().st_uid
            if ours and any(name in command_line for name in _NAMES):
                return process
        return None

    def _ask(self, word: str) -> str:
        """Send one command and return the first answer; empty if nobody answers."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PROBE_LIMIT)
            try:
                connection.connect(str(self.socket))
                connection.sendall(f"{word}\r\n".encode())
                return connection.recv(200).decode("utf-8", "replace")
            except OSError:
                return ""


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _quoted(path: Path) -> str:
    return f'"{path}"'
