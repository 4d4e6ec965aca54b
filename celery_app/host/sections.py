"""``[commands.NAME]`` of ``tapeline.toml``: what a command is that a template may name."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from celery_app.drive_settings import CommandLine, Section
from policy.schedule.values import COMMAND

CommandName = Annotated[str, Field(pattern=f"^{COMMAND}$")]

_UNITS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
_LIMIT = re.compile(r"(?:[0-9]{1,5}(?:min|[smhd]) ?)+")
MOST = 7 * 86400


def seconds_of(limit: str) -> int:
    """A length of time such as ``10min`` or ``1h30min``. Raises ValueError."""
    parts = re.findall(r"([0-9]+)(min|[smhd])", limit) if _LIMIT.fullmatch(limit) else ()
    seconds = sum(int(count) * _UNITS[unit] for count, unit in parts)
    if not 1 <= seconds <= MOST:
        raise ValueError(f'{limit!r} is no length of time; write "30s", "10min" or "2h", a week at most')
    return seconds


def _checked(limit: str) -> str:
    seconds_of(limit)
    return limit


Limit = Annotated[str, AfterValidator(_checked)]


class CommandSettings(Section):
    """A program that templates name: in ``before``, ``after`` or ``check``. Only this file says what it is:
    the database and the file of schedules have its name and nothing else."""

    argv: CommandLine
    """The program and its arguments, each a word of its own: no shell reads them."""
    limit: Limit = "10min"
    """How long it may run in total, such as ``30s``, ``10min`` or ``2h``; then it is ended, which is a
    failure."""
    user: str | None = None
    """The user of this host that it runs as; only a worker of root can change it. Not set: the worker's."""
    exclusive: bool = False
    """Whether runs that use it wait for each other: from their ``before`` to the end of their ``after``."""
