"""Private copies of programs in the state folder, for an account that cannot run the originals."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from embedded.account import Account
from embedded.binaries import PostgresPrograms, RedisProgram, Wheel
from embedded.errors import ServerNotInstalled
from embedded.folders import may_execute, translated
from policy.message import M

FOLDER = "programs"


def postgres(programs: PostgresPrograms, state: Path, account: Account) -> PostgresPrograms:
    """The programs as the account can run them: the originals, or a copy made now.

    Another account always gets a copy of a wheel, because it often has no access to a virtual environment.
    Raises ServerNotInstalled, StateFolderUnusable.
    """
    if programs.wheel is None:
        _check_reach(programs, account)
        return programs
    if account.is_own and os.access(programs.folder / "postgres", os.X_OK):
        return programs
    wheel, installation = programs.wheel, programs.folder.parent
    place = programs.folder.relative_to(wheel.package.parent)
    top = _renewed(
        state / FOLDER,
        f"postgresql-{wheel.version}-{programs.version}",
        lambda target: _copy_postgres(wheel, installation, target),
    )
    return replace(programs, folder=top / place)


def _check_reach(programs: PostgresPrograms, account: Account) -> None:
    if not may_execute(programs.folder / "postgres", account):
        raise ServerNotInstalled(
            M(
                "User {user} cannot start the PostgreSQL in {folder}.",
                user=account.user,
                folder=str(programs.folder),
            ),
            M("Install PostgreSQL where every user can reach it, or set TAPELINE_DATABASE_URL."),
        )


def redis(program: RedisProgram, state: Path, account: Account) -> Path:
    """The path of a redis-server that the account can run. Raises StateFolderUnusable."""
    if may_execute(program.path, account) and (account.is_own or program.wheel is None):
        return program.path
    with translated(program.path):
        status = program.path.stat()
    top = _renewed(
        state / FOLDER,
        f"redis-{status.st_size:x}-{status.st_mtime_ns:x}",
        lambda target: _copy_program(program.path, target / program.path.name),
    )
    return top / program.path.name


def _renewed(folder: Path, name: str, fill: Callable[[Path], None]) -> Path:
    """The copy of this name. If it is missing, it is made completely and then named; older copies are
    removed."""
    with translated(folder):
        folder.mkdir(mode=0o755, exist_ok=True)
        folder.chmod(0o755)
        target, draft = folder / name, folder / f"{name}.new"
        if not target.exists():
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            fill(draft)
            _open_to_read(draft)
            draft.rename(target)
        kind = name.partition("-")[0]
        for old in folder.glob(f"{kind}-*"):
            if old != target:
                shutil.rmtree(old)
        return target


def _copy_postgres(wheel: Wheel, installation: Path, target: Path) -> None:
    """Copy one installation and the libraries that it finds by their relative path."""
    package = wheel.package
    copied = target / package.name / installation.relative_to(package)
    unneeded = shutil.ignore_patterns("include", "locale", "pgxs", "*.a")
    shutil.copytree(installation, copied, symlinks=True, ignore=unneeded)
    for libraries in (package.with_name(f"{package.name}.libs"), package / ".dylibs"):
        if libraries.is_dir():
            shutil.copytree(libraries, target / libraries.relative_to(package.parent), symlinks=True)
    for program in (copied / "bin").iterdir():
        program.chmod(0o755)


def _copy_program(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o755)


def _open_to_read(top: Path) -> None:
    """Let every user read the copy, regardless of the modes of the original and of the umask."""
    top.chmod(0o755)
    for path in top.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else path.stat().st_mode | 0o444)
