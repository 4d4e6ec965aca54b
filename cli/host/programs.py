"""The processes of an installation: how each one is started."""

from __future__ import annotations

import sys

from celery_app import settings
from embedded.program import Program


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
    configured = settings.load()
    queue = configured.queue_of(drive)
    limit = configured.drive(drive).stop_seconds
    return Program(queue, worker(queue, 1, name=queue), stop_limit=limit, together="drives")


def beat() -> Program:
    return Program("beat", celery("beat"))


def flower() -> Program:
    """The dashboard; it reads its address and its logins from the settings."""
    return Program("flower", celery("flower"))
