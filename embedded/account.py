"""The account that the servers run as: the present user, or an unprivileged one if root starts them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from embedded.errors import EmbeddedError, NotOnThisPlatform
from policy.message import M

if sys.platform != "win32":
    import pwd

NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """A user and its group, by number."""

    user: int
    group: int

    @property
    def switch_user(self) -> int | None:
        """The user to start a program as; None: the present user."""
        return None if self.user == os.geteuid() else self.user

    @property
    def switch_group(self) -> int | None:
        """The group that goes with ``switch_user``."""
        return None if self.switch_user is None else self.group

    @property
    def is_own(self) -> bool:
        return self.switch_user is None


def for_servers() -> Account:
    """The account for the servers: PostgreSQL refuses root, so root starts them as ``nobody``.

    Raises NotOnThisPlatform if there are no embedded servers, EmbeddedError if that user is missing.
    """
    require_posix()
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    try:
        entry = pwd.getpwnam(NOBODY)
    except KeyError as error:
        raise EmbeddedError(
            M("There is no user '{user}' for the servers to run as.", user=NOBODY),
            M("Start Tapeline as an ordinary user, or make that user."),
        ) from error
    return Account(entry.pw_uid, entry.pw_gid)


def require_posix() -> None:
    """Raise NotOnThisPlatform, with the settings to use instead, if there is no POSIX."""
    if os.name != "posix":
        raise NotOnThisPlatform(
            M("There are no embedded servers on {platform}.", platform=sys.platform),
            M("Give real ones in the settings TAPELINE_DATABASE_URL and TAPELINE_BROKER_URL."),
        )
