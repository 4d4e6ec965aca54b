"""An embedded PostgreSQL: its own data folder, reached through one socket in the state folder."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

from embedded import binaries, copies, logs
from embedded.account import Account, for_servers
from embedded.cluster import START_LIMIT, Cluster
from embedded.errors import ServerFailed
from embedded.folders import check_socket, make_passable, make_private, make_state, translated, write_public
from embedded.postmaster import PidFile
from policy.message import M

USER = DATABASE = "tapeline"
# Given everywhere, because libpq and the server would otherwise obey PGPORT.
PORT = 5432
SOCKET = f".s.PGSQL.{PORT}"
PROBE_LIMIT = 5

OTHERS, A_DRIVE = 100, 5
"""Connections: of a drive's worker at most, while it works; and of everybody else."""

_COMMON = {
    "listen_addresses": "''",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    # A chain of increments is read in one query: three locks for each set of it.
    "max_locks_per_transaction": "1024",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "lc_messages": "'C'",
    "datestyle": "'iso, mdy'",
    "client_encoding": "'UTF8'",
    "log_checkpoints": "off",
}
# Committed data survives the server's death, but not the machine's.
_FAST = {"fsync": "off", "full_page_writes": "off"}


class Postgres:
    """A PostgreSQL in ``<state>/pg``; other users of the machine cannot enter it.

    Several objects, in several processes, may represent the same server. Nothing here guards starting and
    stopping: Servers does that. ``durable=False``: a power failure may lose committed data. ``drives``: how
    many drives it has connections for.
    """

    def __init__(self, state: Path, *, durable: bool = True, drives: int = 1) -> None:
        self.state = state = state.resolve()
        self.durable = durable
        self.connections = OTHERS + A_DRIVE * drives
        self.data = state / "pg" / "data"
        self.sockets = state / "pg" / "run"
        self.log = self.sockets / "postgres.log"
        self._config = state / "pg" / "postgres.conf"

    @property
    def url(self) -> str:
        """The address for SQLAlchemy, with its driver named."""
        folder = quote(str(self.sockets), safe="")
        return f"postgresql+psycopg2://{USER}@/{DATABASE}?host={folder}&port={PORT}"

    @property
    def version(self) -> int | None:
        """The major version that made the data folder; None: there is no data yet.

        Raises StateFolderUnusable.
        """
        with translated(self.data):
            mark = self.data / "PG_VERSION"
            return int(mark.read_text("ascii")) if mark.is_file() else None

    def running(self) -> bool:
        """Whether it accepts connections to the database now."""
        return self._takes_connections(DATABASE)

    def start(self) -> None:
        """Start it; create data folder and database if they are missing; use a running one as it is.

        Raises ServerNotInstalled, ServerFailed, StateFolderUnusable.
        """
        if self.running():
            return
        account = for_servers()
        self._make_folders(account)
        if not self._is_coming_up():
            self._start(self._cluster(account))
        self._make_database()

    def stop(self) -> None:
        """Stop it, ending its connections; does nothing if it does not run. Raises ServerFailed."""
        if PidFile(self.data).is_alive():
            self._cluster(for_servers()).stop(self.data)

    def _make_folders(self, account: Account) -> None:
        check_socket(self.sockets / SOCKET)
        make_state(self.state, account)
        make_passable(self.data.parent, account)
        make_private(self.sockets, account)
        if self.data.exists():
            make_private(self.data, account)

    def _cluster(self, account: Account) -> Cluster:
        programs = copies.postgres(binaries.postgres(self.version), self.state, account)
        return Cluster(programs, account, self.log)

    def _is_coming_up(self) -> bool:
        """Wait for a postmaster that another process started; stop one whose socket was removed."""
        pid_file = PidFile(self.data)
        deadline = time.monotonic() + START_LIMIT
        while pid_file.is_alive():
            if self._takes_connections("postgres"):
                return True
            if pid_file.is_ready() and not (self.sockets / SOCKET).exists():
                self.stop()
            elif time.monotonic() > deadline:
                raise ServerFailed(
                    M("PostgreSQL runs and takes no connections for {limit} s.", limit=START_LIMIT),
                    M("Look into {log}.", log=str(self.log)),
                )
            time.sleep(0.05)
        return False

    def _start(self, cluster: Cluster) -> None:
        if self.version is None:
            self._initdb(cluster)
        with translated(self.data):
            PidFile(self.data).disown()
            for stale in (SOCKET, f"{SOCKET}.lock"):
                (self.sockets / stale).unlink(missing_ok=True)
            logs.rotate(self.log)
        self._write_config()
        cluster.start(self.data, self._config)

    def _initdb(self, cluster: Cluster) -> None:
        """Make the data folder under another name first, so that nobody takes an unfinished one for
        complete."""
        draft = self.data.with_name("data.new")
        with translated(draft):
            if draft.exists():
                shutil.rmtree(draft)
        make_private(draft, cluster.account)
        cluster.initdb(draft, USER, sync=self.durable)
        with translated(self.data):
            draft.rename(self.data)

    def _write_config(self) -> None:
        settings = {
            **_COMMON,
            **({} if self.durable else _FAST),
            "max_connections": str(self.connections),
            "unix_socket_directories": _quoted(self.sockets),
            "data_directory": _quoted(self.data),
            "hba_file": _quoted(self.data / "pg_hba.conf"),
            "ident_file": _quoted(self.data / "pg_ident.conf"),
        }
        lines = (f"{name} = {value}\n" for name, value in settings.items())
        write_public(self._config, "# Written at every start: changes are lost.\n" + "".join(lines))

    def _make_database(self) -> None:
        if self.running():
            return
        connection = self._connect("postgres")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        finally:
            connection.close()

    def _takes_connections(self, database: str) -> bool:
        try:
            self._connect(database).close()
        except psycopg2.OperationalError as error:
            # Others use it: starting another or stopping this one would be wrong.
            return "too many clients" in str(error)
        return True

    def _connect(self, database: str) -> psycopg2.extensions.connection:
        return psycopg2.connect(
            host=str(self.sockets), port=PORT, user=USER, dbname=database, connect_timeout=PROBE_LIMIT
        )


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
