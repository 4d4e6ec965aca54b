"""Runs PostgreSQL's own programs on one data folder: initdb, and pg_ctl to start and stop it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embedded import logs
from embedded.account import Account
from embedded.binaries import PostgresPrograms
from embedded.errors import ServerFailed
from embedded.launch import launch
from policy.message import M

INITDB_LIMIT = 120
START_LIMIT = 60
STOP_LIMIT = 60
ORPHANS_LIMIT = 15
"""Seconds that backends have to notice that their postmaster was killed."""

_FIRST_BUILTIN = 17
_BUILTIN_LOCALE = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")


@dataclass(frozen=True, slots=True)
class Cluster:
    """The programs, the account that they run as, and the path of the server's log."""

    programs: PostgresPrograms
    account: Account
    log: Path

    def initdb(self, data: Path, user: str, *, sync: bool) -> None:
        """Fill an empty data folder of the account. Raises ServerFailed."""
        argv = ["initdb", "-D", str(data), "-U", user, "-E", "UTF8"]
        argv += ["--auth-local=trust", "--auth-host=reject"]
        # By code point, which never changes: an upgrade of the system's locales breaks no index.
        argv += ["--no-locale", *(_BUILTIN_LOCALE if self.programs.major >= _FIRST_BUILTIN else ())]
        self._run(argv if sync else [*argv, "--no-sync"], limit=INITDB_LIMIT)

    def start(self, data: Path, config: Path) -> None:
        """Start the server and wait until it accepts connections. Raises ServerFailed.

        While backends of a killed postmaster are still ending, PostgreSQL refuses to start: it is tried
        again.
        """
        deadline = time.monotonic() + ORPHANS_LIMIT
        while True:
            since = logs.size(self.log)
            try:
                return self._start(data, config, since)
            except ServerFailed:
                log_lines = logs.last_lines(self.log, since=since)
                if "shared memory block" not in log_lines or time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def _start(self, data: Path, config: Path, since: int) -> None:
        argv = ["pg_ctl", "start", "-D", str(data), "-l", str(self.log), "-w", "-t", str(START_LIMIT), "-s"]
        argv += ["-o", f"-c config_file={shlex.quote(str(config))}"]
        self._run(argv, limit=START_LIMIT + 10, since=since)

    def stop(self, data: Path) -> None:
        """End connections and stop the server. Raises ServerFailed if it does not stop in time."""
        argv = ["pg_ctl", "stop", "-D", str(data), "-m", "fast", "-w", "-t", str(STOP_LIMIT), "-s"]
        self._run(argv, limit=STOP_LIMIT + 10)

    def _run(self, argv: Sequence[str], *, limit: float, since: int | None = None) -> None:
        """Run one of the programs; ``since``: the log has the reason of a failure after these bytes."""
        done = launch([str(self.programs.folder / argv[0]), *argv[1:]], limit=limit, account=self.account)
        if done.return_code == 0:
            return
        logged = "" if since is None else logs.last_lines(self.log, since=since)
        raise ServerFailed(
            M(
                "PostgreSQL's {program} failed with {code}: {reason}",
                program=argv[0],
                code=done.return_code,
                reason=logged or done.output.strip(),
            ),
            M(
                "Look into {log}, or give the address of a server in TAPELINE_DATABASE_URL.",
                log=str(self.log),
            ),
        )
