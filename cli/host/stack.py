"""The servers and processes behind a command: the embedded ones if no others are configured."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from celery_app import settings, wiring
from db.engine import Database
from embedded.program import Program
from embedded.servers import Servers


def uses_embedded() -> bool:
    """Whether we start at least one of the two servers."""
    found = settings.load()
    return found.database_url is None or found.broker_url is None


@contextmanager
def servers() -> Iterator[None]:
    """Use the embedded servers for the time of a command, if they are configured; started when needed."""
    with ExitStack() as stack:
        if uses_embedded():
            stack.enter_context(Servers(settings.load().state_dir).use())
        stack.callback(lambda: wiring.database().close())
        yield


@contextmanager
def database() -> Iterator[Database]:
    """The database, reachable and of this version.

    Raises DatabaseUnavailable, DatabaseNotMigrated. An embedded one is migrated to this version.
    """
    with servers():
        found = wiring.database()
        if settings.load().database_url is None:
            found.upgrade()
        else:
            found.check_version()
        yield found


def python(*arguments: str) -> list[str]:
    """A command line of this Python, which finds modules where this program's are."""
    return [sys.executable, "-m", *arguments]


def celery(*arguments: str) -> list[str]:
    return python("celery", "-A", "celery_app", *arguments)


def worker(queue: str, concurrency: int, *, name: str) -> list[str]:
    """The command line of a worker."""
    pool = ["-P", "threads"] if sys.platform == "win32" else []
    return celery(
        "worker", "-Q", queue, "-c", str(concurrency), "-n", f"{name}@%h", "-E", "--without-mingle", *pool
    )


def control_worker() -> Program:
    return Program("control", worker("control", 2, name="control"))


def tape_worker(drive: str) -> Program:
    """The worker of a drive. Its limit is long enough to seal the data being written; the limits of several
    drives run in parallel."""
    found = settings.load()
    queue = found.queue_of(drive)
    limit = found.drive(drive).stop_seconds
    return Program(queue, worker(queue, 1, name=queue), stop_limit=limit, together="drives")


def beat() -> Program:
    return Program("beat", celery("beat"))


def flower() -> Program:
    """The dashboard; it reads its address and its logins from the settings."""
    return Program("flower", celery("flower"))
