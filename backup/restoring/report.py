"""The result of a restore, entry by entry."""

from __future__ import annotations

from dataclasses import dataclass, field

from policy.message import Message


@dataclass(slots=True)
class RestoreReport:
    """The result of a restore. Paths are for people, and always UTF-8."""

    files: int = 0
    """Entries restored: everything with a name, folders and links too."""
    size: int = 0
    """Bytes of content restored, holes included, each hard-linked file once."""
    failures: list[tuple[str, Message]] = field(default_factory=list)
    """What was not restored, and why."""
    incomplete: list[tuple[str, Message]] = field(default_factory=list)
    """What was restored incompletely: an attribute, or a content that was no single state."""
    kept: list[str] = field(default_factory=list)
    """What existed in the target, and is as in the backup."""
    differing: list[tuple[str, Message]] = field(default_factory=list)
    """What existed in the target, differs from the backup, and was left as it was."""
    beside: list[tuple[str, str]] = field(default_factory=list)
    """What was put beside a different file in the target, and the name that it got there."""
    missing: list[str] = field(default_factory=list)
    """The selected paths that the set does not have."""
