"""Whom restored files belong to: the numbers of the backup, its names, or others that a person names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from policy.errors import UsageError
from policy.message import M

NAMES = "names"
"""By name: who has the name of the file's owner on the host of the restore, whatever the number."""
GROUP = "@"


@dataclass(frozen=True, slots=True)
class Rule:
    """Files of one owner, by name or number, get another one; ``is_group``: files of one group."""

    given: str
    to: str
    is_group: bool


@dataclass(frozen=True, slots=True)
class OwnerMap:
    """The first rule that names a file's owner counts, and the first that names its group; without one, the
    name if ``by_name`` is set, and else the number."""

    rules: tuple[Rule, ...] = ()
    by_name: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The map as it is written; ``parse`` reads it."""
        marks = ((rule, GROUP * rule.is_group) for rule in self.rules)
        rules = tuple(f"{mark}{rule.given}:{mark}{rule.to}" for rule, mark in marks)
        return (*rules, NAMES) if self.by_name else rules


def parse(values: Iterable[str]) -> OwnerMap:
    """What ``--owner-map`` was given: ``names``, ``alice:bob``, ``1001:1002``, ``@staff:@users``; several at
    once with commas. Raises UsageError."""
    words = [word.strip() for value in values for word in value.split(",")]
    rules = tuple(_rule(word) for word in words if word != NAMES)
    seen: set[tuple[str, bool]] = set()
    for rule in rules:
        if (rule.given, rule.is_group) in seen:
            raise UsageError(
                M("--owner-map: '{name}' is mapped twice.", name=f"{GROUP * rule.is_group}{rule.given}"),
                M("Name each owner once."),
            )
        seen.add((rule.given, rule.is_group))
    return OwnerMap(rules, by_name=NAMES in words)


def _rule(word: str) -> Rule:
    given, colon, to = word.partition(":")
    is_group = given.startswith(GROUP)
    if not colon or is_group is not to.startswith(GROUP):
        raise _no_map(word)
    rule = Rule(given.removeprefix(GROUP), to.removeprefix(GROUP), is_group)
    if not rule.given or not rule.to or any(mark in rule.given + rule.to for mark in (":", GROUP)):
        raise _no_map(word)
    return rule


def _no_map(word: str) -> UsageError:
    return UsageError(
        M("--owner-map: '{word}' maps no owner.", word=word),
        M("Write FROM:TO, as alice:bob, 1001:1002 or @staff:@users; or 'names'."),
    )
