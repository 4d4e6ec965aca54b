"""Real servers for every test that asks for them: started once, a fresh database for each test."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg2
import pytest
import redis
from hypothesis import settings
from sqlalchemy import make_url

from db import leaps
from db.engine import Database
from db.models import now
from embedded.servers import Servers
from tests.ltfs import programs
from tests.windows import wine

_numbers = itertools.count(1)

# No test fails for the speed of its machine.
settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much of what takes as long as one likes; ``make soak`` asks for more."""
    group = parser.getgroup("tapeline")
    group.addoption("--histories", type=int, default=200, help="how many random histories")
    group.addoption("--histories-seed", type=int, default=1, help="what they are made from")
    group.addoption("--soak-minutes", type=float, default=10, help="how long processes die at random")
    group.addoption(
        "--as-found", action="store_true", help="show a history that fails without making it short"
    )


def pytest_configure() -> None:
    """Nothing of the caller's own Tapeline gets into a test."""
    for name in [name for name in os.environ if name.startswith("TAPELINE_")]:
        del os.environ[name]


LONG = ("dashboard", "e2e", "histories", "integration/embedded", "windows", "wire")
"""The folders whose tests start installations, browsers or servers of their own: ``make test-all``."""
FRONT_DOORS = ("e2e/backups/test_pipeline.py", "e2e/restores/test_restores.py")
"""Files in them that belong to ``make test`` all the same: a backup and a restore by real processes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that take long."""
    for item in items:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        if path.startswith(tuple(f"{folder}/" for folder in LONG)) and path not in FRONT_DOORS:
            item.add_marker("long")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What this machine cannot test, and what shows the same histories and the same kills again."""
    missing = programs.missing()
    wanted, seed = config.getoption("--histories"), config.getoption("--histories-seed")
    lines = [f"tapeline: {wanted} histories, seed {seed}"]
    lines += [f"NOT TESTED: the driver ltfs with its stand-ins: {missing}"] if missing else []
    no_windows = wine.missing()
    lines += [f"NOT TESTED: the driver ltfs_windows on Windows itself: {no_windows}"] if no_windows else []
    if shutil.which("mkltfs") is None:
        lines.append("NOT TESTED: LTFS itself, on emulated cartridges: mkltfs is not installed")
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        lines.append("NOT TESTED: the dashboard in a browser: chromium and chromium-driver are not installed")
    return lines


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A new folder with a short name (sockets lie in it) that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="tl-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A real PostgreSQL and a real Redis, without fsync, for the whole session."""
    folder = Path(tempfile.mkdtemp(prefix="tl-"))
    folder.chmod(0o755)
    with Servers(folder / "s", durable=False).use() as running:
        yield running
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def template_database(servers: Servers) -> str:
    """A database with the newest tables, to be cloned."""
    database = Database(servers.database_url)
    database.upgrade()
    with database.transaction() as session:
        leaps.note(session, now())
    database.close()
    return make_url(servers.database_url).database or ""


@pytest.fixture(scope="session")
def fresh_database(servers: Servers, template_database: str) -> Callable[[], AbstractContextManager[str]]:
    """Makes a fresh database with tables, for as long as its context lasts."""

    @contextmanager
    def made() -> Iterator[str]:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        url = make_url(servers.database_url)
        # Its files are copied: a third of the work of writing them through the log.
        copied = f'CREATE DATABASE "{name}" TEMPLATE "{template_database}" STRATEGY FILE_COPY'
        _execute(servers, copied)
        yield url.set(database=name).render_as_string(hide_password=False)
        _execute(servers, f'DROP DATABASE "{name}" WITH (FORCE)')

    return made


@pytest.fixture
def database_url(fresh_database: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The address of a fresh database with tables, for one test."""
    with fresh_database() as url:
        yield url


def _execute(servers: Servers, statement: str) -> None:
    url = make_url(servers.database_url)
    connection = psycopg2.connect(user=url.username, host=url.query["host"], dbname="postgres")
    try:
        connection.autocommit = True
        connection.cursor().execute(statement)
    finally:
        connection.close()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh database with tables."""
    found = Database(database_url)
    yield found
    found.close()


@pytest.fixture
def broker_url(servers: Servers) -> str:
    """The address of an empty Redis."""
    path = servers.broker_url.removeprefix("redis+socket://").split("?")[0]
    with redis.Redis(unix_socket_path=path) as client:
        client.flushall()
    return servers.broker_url


FAULTS_HEAD = (
    "| case | run | formats | cartridge | set | messages |",
    "| --- | --- | --- | --- | --- | --- |",
)
COUNTED = "tapeline: "
"""Properties of a test that begin so are summed up for the last lines of the report."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How much was tried: the counts of all tests, whichever process ran them."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    for report in reports:
        if getattr(report, "when", "") == "call":
            for name, value in report.user_properties:
                if name.startswith(COUNTED):
                    counts[name.removeprefix(COUNTED)] += int(value)
                elif name == "fault":
                    faults.append(value)
    if faults:
        terminalreporter.section("the table of faults: each run ended so, the tape and the catalogue are so")
        for line in (*FAULTS_HEAD, *sorted(faults)):
            terminalreporter.write_line(line)
    if counts:
        terminalreporter.section("how much was tried")
        terminalreporter.write_line(", ".join(f"{value} {name}" for name, value in counts.items()))
