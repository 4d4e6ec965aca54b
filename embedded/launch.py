"""Starts the servers' programs, as the servers' account."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from embedded.account import Account
from embedded.errors import ServerFailed
from policy.errors import TapelineError
from policy.message import M
from tape.programs import command

# Variables that libpq and the programs obey; the configuration or the command line sets them instead.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "LANG": "C"}


def launch(argv: Sequence[str], *, limit: float, account: Account) -> command.Completed:
    """Run a program of a server to its end, within ``limit`` seconds.

    Raises ServerFailed if it cannot be started or does not end; the caller judges its return code.
    """
    try:
        return command.run(
            argv,
            limit=limit,
            # A folder that every account can enter.
            cwd=Path("/"),
            env=_ENVIRONMENT,
            user=account.switch_user,
            group=account.switch_group,
        )
    except TapelineError as error:
        raise ServerFailed(
            error.message,
            M("Try again, or set TAPELINE_DATABASE_URL and TAPELINE_BROKER_URL to servers of your own."),
        ) from error
