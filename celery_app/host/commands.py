"""The commands of this host: whether each can be started, and starting it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from celery_app import settings
from celery_app.host.sections import CommandSettings, seconds_of
from policy.errors import TapelineError
from policy.message import M
from tape.programs import command
from tape.programs.command import Completed
from tape.programs.piped import Piped, piped

if sys.platform != "win32":
    import pwd

PRIVATE = "TAPELINE_"
"""Variables that begin so may hold passwords of ours; no command gets them."""


class CommandUnusable(TapelineError):
    """A command that a template names is not in this host's file, or cannot be started; nothing was begun."""


@dataclass(frozen=True, slots=True)
class CommandAccount:
    """Whom a command runs as, if not as this process."""

    uid: int
    gid: int
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HostCommand:
    """A command that can be started."""

    name: str
    argv: tuple[str, ...]
    limit: int
    """Seconds, in total."""
    exclusive: bool
    account: CommandAccount | None

    def run(
        self,
        environment: Mapping[str, str],
        *,
        inherit: Sequence[int] = (),
        watch: Callable[[], None] | None = None,
        limit: float | None = None,
    ) -> Completed:
        """Run it to its end, with any return code. ``limit``: less time than its own, for a caller in a
        hurry. Raises DriveError, CommandTimeout, and what ``watch`` raises."""
        return command.run(
            self.argv,
            limit=min(self.limit, limit or self.limit),
            env=self.environment(environment),
            hidden=PRIVATE,
            inherit=inherit,
            watch=watch,
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
        )

    def piped(
        self,
        environment: Mapping[str, str],
        *,
        inherit: Sequence[int] = (),
        watch: Callable[[], None] | None = None,
    ) -> AbstractContextManager[Piped]:
        """Start it, to read what it prints. Raises DriveError."""
        return piped(
            self.argv,
            limit=self.limit,
            env=self.environment(environment),
            hidden=PRIVATE,
            inherit=inherit,
            watch=watch,
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
        )

    def environment(self, added: Mapping[str, str]) -> dict[str, str]:
        """What it gets besides this process's variables."""
        return {**(self.account.environment if self.account else {}), **added}


def find(name: str) -> HostCommand:
    """A command of this host's file. Raises CommandUnusable, which names the field and the remedy."""
    known = settings.load().commands
    if name not in known:
        raise _unknown(name, known)
    configured = known[name]
    account = _account(name, configured)
    program = configured.argv[0]
    path = shutil.which(program) if os.path.basename(program) == program else _file(program)  # noqa: PTH119 - a name or a path
    if path is None:
        raise CommandUnusable(
            M(
                "commands.{name}.argv: there is no program {program} on this host.",
                name=name,
                program=program,
            ),
            M("Install it, or write its whole path in tapeline.toml of this host."),
        )
    return HostCommand(
        name, (path, *configured.argv[1:]), seconds_of(configured.limit), configured.exclusive, account
    )


def problems(names: Iterable[str]) -> list[TapelineError]:
    """Why some of these commands could not be started now; each name once."""
    errors: list[TapelineError] = []
    for name in dict.fromkeys(names):
        try:
            find(name)
        except CommandUnusable as error:
            errors.append(error)
    return errors


def check(names: Iterable[str]) -> None:
    """Raises CommandUnusable for the first of these commands that could not be started now."""
    for name in dict.fromkeys(names):
        find(name)


def _unknown(name: str, known: Mapping[str, CommandSettings]) -> CommandUnusable:
    wrong = M("tapeline.toml of this host has no command '{name}'.", name=name)
    if not known:
        return CommandUnusable(wrong, M("Add [commands.{name}] with its argv there.", name=name))
    return CommandUnusable(
        wrong,
        M(
            "Add [commands.{name}] with its argv there, or name one of: {known}.",
            name=name,
            known=", ".join(sorted(known)),
        ),
    )


def _file(program: str) -> str | None:
    return program if Path(program).is_file() and os.access(program, os.X_OK) else None


if sys.platform == "win32":

    def _account(name: str, configured: CommandSettings) -> CommandAccount | None:
        if configured.user is None:
            return None
        raise CommandUnusable(
            M("commands.{name}.user: Windows starts no program as another user.", name=name),
            M("Leave it out, and run the worker's service as that user."),
        )

else:

    def _account(name: str, configured: CommandSettings) -> CommandAccount | None:
        if configured.user is None:
            return None
        try:
            user = pwd.getpwnam(configured.user)
        except KeyError:
            raise CommandUnusable(
                M(
                    "commands.{name}.user: there is no user '{user}' on this host.",
                    name=name,
                    user=configured.user,
                ),
                M("Correct the name in tapeline.toml, or create the user."),
            ) from None
        if user.pw_uid == os.geteuid():
            return None
        if os.geteuid() != 0:
            raise CommandUnusable(
                M(
                    "commands.{name}.user: only a worker of root starts programs as {user}.",
                    name=name,
                    user=configured.user,
                ),
                M("Run the drive's worker as root or as {user}, or leave 'user' out.", user=configured.user),
            )
        home = {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
        return CommandAccount(user.pw_uid, user.pw_gid, home)
