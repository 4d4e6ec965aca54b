"""Both embedded servers together, shared by all the processes that use them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded.account import for_servers, require_posix
from embedded.folders import make_state
from embedded.locks import LockFile, alone
from embedded.postgres import Postgres
from embedded.redis import Redis


class Servers:
    """PostgreSQL and Redis in one state folder, for as long as anybody uses them.

    Every user shares the lock ``<state>/servers.lock``; the last one can lock it exclusively and stops them.
    A user that was killed leaves them running for the next one. ``durable=False``, for tests: sent and
    committed data does not survive the machine. ``drives``: how many have workers here.

    Raises NotOnThisPlatform if there are no embedded servers.
    """

    def __init__(self, state: Path, *, durable: bool = True, drives: int = 1) -> None:
        require_posix()
        self.state = state.resolve()
        self.postgres = Postgres(state, durable=durable, drives=drives)
        self.redis = Redis(state, durable=durable)

    @property
    def database_url(self) -> str:
        """The address of the database for SQLAlchemy."""
        return self.postgres.url

    @property
    def broker_url(self) -> str:
        """The address of the broker for Celery."""
        return self.redis.url

    def running(self) -> bool:
        """Whether both answer now."""
        return self.redis.running() and self.postgres.running()

    @contextmanager
    def use(self) -> Iterator[Servers]:
        """Use both for the time of the context: start what does not run; the last user stops both.

        Raises ServerNotInstalled, ServerFailed, StateFolderUnusable.
        """
        make_state(self.state, for_servers())
        with LockFile(self.state / "servers.lock") as users:
            # While this is locked, nobody can lock it exclusively, so nobody stops the servers.
            users.share()
            try:
                self._start()
                yield self
            finally:
                if users.try_own():
                    self._stop()

    def _start(self) -> None:
        if self.running():
            return
        with alone(self.state / "start.lock"):
            self.postgres.start()
            self.redis.start()

    def _stop(self) -> None:
        try:
            self.redis.stop()
        finally:
            self.postgres.stop()
