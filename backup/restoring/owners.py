"""Give the entries of a restore other owners, by the users and groups of this host."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from backup import system
from backup.entry import Entry, shown
from backup.restoring import metadata
from policy.errors import TapelineError
from policy.message import M
from policy.owners import OwnerMap

HIGHEST = 2**32 - 2
"""The largest number of a user or a group; the one above it means 'do not change'."""


class OwnersUnknown(TapelineError):
    """A user or a group to restore to is none of this host; nothing was written."""


class Owners:
    """The owners of a restore. Raises OwnersUnknown for one that this host does not have, and where this
    process may give no file away."""

    def __init__(self, wanted: OwnerMap) -> None:
        self._by_name = wanted.by_name
        self._changes = wanted != OwnerMap()
        if self._changes and not metadata.may_own():
            raise OwnersUnknown(
                M("Only root can give restored files other owners, and the drive's worker is not root."),
                M("Restore without --owner-map, or run the worker as root."),
            )
        self._users = {rule.given: _number(rule.to, _uid) for rule in wanted.rules if not rule.is_group}
        self._groups = {rule.given: _number(rule.to, _gid) for rule in wanted.rules if rule.is_group}

    def of(self, entry: Entry) -> Entry:
        """The entry with the owner and the group that its file is to get."""
        if not self._changes:
            return entry
        uid = self._mapped(self._users, entry.uid, entry.uname, _uid)
        gid = self._mapped(self._groups, entry.gid, entry.gname, _gid)
        return entry._replace(uid=uid, gid=gid)

    def _mapped(
        self, rules: dict[str, int], number: int, name: str, look_up: Callable[[str], int | None]
    ) -> int:
        for key in (shown(name), str(number)):
            if key and key in rules:
                return rules[key]
        found = look_up(name) if self._by_name and name else None
        return number if found is None else found


def _number(owner: str, look_up: Callable[[str], int | None]) -> int:
    found = look_up(owner)
    if found is not None:
        return found
    if owner.isascii() and owner.isdecimal() and int(owner) <= HIGHEST:
        return int(owner)
    raise OwnersUnknown(
        M("--owner-map: this host has no user or group '{name}'.", name=owner),
        M("Create it here, or name another one, or a number."),
    )


@lru_cache(maxsize=4096)
def _uid(name: str) -> int | None:
    return system.user_number(name)


@lru_cache(maxsize=4096)
def _gid(name: str) -> int | None:
    return system.group_number(name)
