"""The servers behind a command: the embedded ones if no others are configured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from celery_app import settings, wiring
from cli.host import audited
from db.engine import Database


def uses_embedded() -> bool:
    """Whether we start at least one of the two servers."""
    configured = settings.load()
    return configured.database_url is None or configured.broker_url is None


@contextmanager
def servers() -> Iterator[None]:
    """Use the embedded servers for the time of a command, if they are configured; started when needed."""
    with ExitStack() as stack:
        if uses_embedded():
            from embedded.servers import Servers  # noqa: PLC0415 - loaded where the servers are ours

            configured = settings.load()
            stack.enter_context(Servers(configured.state_dir, drives=max(len(configured.drives), 1)).use())
        stack.callback(lambda: wiring.database().close())
        yield


@contextmanager
def database() -> Iterator[Database]:
    """The database, reachable and of this version.

    Raises DatabaseUnavailable, DatabaseNotMigrated. An embedded one is migrated to this version.
    """
    with servers():
        opened = wiring.database()
        if settings.load().database_url is None:
            opened.upgrade()
        else:
            opened.check_version()
        with audited.entered(opened):
            yield opened
