"""The state folder and its folders: who owns them, who may enter them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded.account import Account
from embedded.errors import StateFolderUnusable
from policy.message import M

SETTING = "TAPELINE_STATE_DIR"
MAX_SOCKET = 99
"""Bytes; the smallest limit of any platform is 103, and PostgreSQL needs a few."""

# PostgreSQL's own start program passes the path to a shell in double quotes; lists of folders are split at
# commas, lists of brokers at semicolons.
_REFUSED = re.compile(r"[\"$`\\,;\x00-\x1f\x7f]")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn an OSError about the state folder into StateFolderUnusable."""
    try:
        yield
    except OSError as error:
        raise StateFolderUnusable(
            M("The state folder {folder} cannot be used: {reason}.", folder=str(path), reason=str(error)),
            M("Give a folder of your own in {setting}.", setting=SETTING),
        ) from error


def make_state(state: Path, account: Account) -> None:
    """Make the state folder, 0700; if another account must pass through it, 0711.

    Raises StateFolderUnusable.
    """
    _check_name(state)
    with translated(state):
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account.is_own:
        return
    make_passable(state, account)
    blocked = first_blocked(state, account)
    if blocked is not None:
        raise StateFolderUnusable(
            M(
                "The servers of root run as user {user}, who cannot pass through {blocked} to {folder}.",
                user=account.user,
                blocked=str(blocked),
                folder=str(state),
            ),
            M(
                "Give a folder in {setting} that every user can reach, such as /var/lib/tapeline.",
                setting=SETTING,
            ),
        )


def make_passable(folder: Path, account: Account) -> None:
    """Make a folder that the account can pass through but not list. Raises StateFolderUnusable."""
    with translated(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not account.is_own and mode & 0o011 != 0o011:
            folder.chmod(mode | 0o011)


def _check_name(state: Path) -> None:
    if _REFUSED.search(str(state)):
        raise StateFolderUnusable(
            M("The path of the state folder cannot be used: {folder}", folder=repr(str(state))),
            M('Give in {setting} a path without " $ ` \\ , ; and line breaks.', setting=SETTING),
        )


def make_private(folder: Path, account: Account) -> None:
    """Make a folder that only the account can enter. Raises StateFolderUnusable if it belongs to another."""
    with translated(folder):
        # Made closed, then handed over: nobody else can put anything into it in between.
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if status.st_uid == os.geteuid() and not account.is_own and not any(folder.iterdir()):
            os.chown(folder, account.user, account.group, follow_symlinks=False)
            status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == account.user:
            if stat.S_IMODE(status.st_mode) != 0o700:
                folder.chmod(0o700)
            return
    raise StateFolderUnusable(
        M(
            "The folder {folder} belongs to user {owner}; the servers would run as user {user}.",
            folder=str(folder),
            owner=status.st_uid,
            user=account.user,
        ),
        M("Start Tapeline as the user who made it, or give another folder in {setting}.", setting=SETTING),
    )


def first_blocked(path: Path, account: Account) -> Path | None:
    """The first folder on the way to ``path``, including it, that the account cannot pass through, or
    None."""
    way = [*reversed(path.resolve().parents), path.resolve()]
    return next((folder for folder in way if not _may_pass(folder.stat(), account)), None)


def _may_pass(status: os.stat_result, account: Account) -> bool:
    if status.st_uid == account.user:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.group:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def may_execute(program: Path, account: Account) -> bool:
    """Whether the account can run the program at its path."""
    program = program.resolve()
    if account.is_own:
        return os.access(program, os.X_OK)
    return first_blocked(program, account) is None


def check_socket(path: Path) -> None:
    """Raise StateFolderUnusable if a socket's path is longer than the kernel accepts."""
    length = len(os.fsencode(path))
    if length > MAX_SOCKET:
        raise StateFolderUnusable(
            M(
                "The path of a socket would have {length} bytes, and at most {limit} are possible: {path}",
                length=length,
                limit=MAX_SOCKET,
                path=str(path),
            ),
            M("Give a folder with a shorter path in {setting}.", setting=SETTING),
        )


def write_public(path: Path, text: str) -> None:
    """Write a configuration that the servers' account can read and only its creator can change."""
    with translated(path):
        draft = path.with_name(path.name + ".new")
        draft.write_text(text, encoding="utf-8")
        draft.chmod(0o644)
        draft.replace(path)
