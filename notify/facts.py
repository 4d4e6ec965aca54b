"""The facts of a notice, stored as JSON in the outbox until they are delivered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from db.states import Kind, Trigger
from notify.events import Event
from policy.message import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One event of a run, a drive or a schedule. ``None``: there is no such fact, and the message omits it.

    The names are those that a template uses.
    """

    event: Event
    at: datetime
    """When it happened; aware."""
    time_zone: str | None
    """The operator's clock, e.g. ``Asia/Shanghai``; None: that of the setting."""
    run_id: int | None = None
    """None: the event is not one of a run, and ``kind`` and ``trigger`` are None too."""
    kind: Kind | None = None
    trigger: Trigger | None = None
    schedule: str | None = None
    """The schedule's name; None for a run without one."""
    drive: str | None = None
    host: str | None = None
    """The drive's host."""
    channel: str | None = None
    """The channel that does not work."""
    label: str | None = None
    """The tape that the event is about."""
    set_id: str | None = None
    files: int | None = None
    """Files that are sealed and catalogued (or restored), also if the run failed later."""
    size: int | None = None
    """Bytes of those files."""
    kept: int = 0
    """Files that a restore found in its folder, as they are in the backup."""
    target: str | None = None
    """The folder that was restored into, on the drive's host."""
    seconds: float | None = None
    """How long it took, or how long a drive has been silent."""
    warnings: int = 0
    """The number of warnings in total."""
    first_warnings: tuple[Message, ...] = ()
    """The first few of them."""
    condition: tuple[Message, ...] = ()
    """Warnings of drive and tapes: a cleaning that is due, a tape that wears out."""
    doubts: tuple[Message, ...] = ()
    """What is not as it was in the sources, each with its figures and first names."""
    frozen: Message | None = None
    """Why no tape is formatted, and what lifts that."""
    cancelled_by: str | None = None
    """Who cancelled the run."""
    reason: Message | None = None
    """What happened."""
    remedy: Message | None = None
    """What to do about it."""
    safe: Message | None = None
    """What is unchanged and what can be restored, if a run stopped before its end."""
    newest: Message | None = None
    """The newest complete backup, if the one that was due is missing."""
    next_command: str | None = None
    """The command that continues."""
    due_at: datetime | None = None
    """When the run that a reminder is about is due; aware."""
    found: Message | None = None
    """What is in the drive."""
    expected: Message | None = None
    """Which tape to insert."""
    suitable: tuple[Message, ...] = ()
    """Known tapes that would do, each with its sets and what would be erased."""
    on_tape: tuple[Message, ...] = ()
    """The backup sets on the tape in the drive."""
    erased: tuple[Message, ...] = ()
    """Those sets that the run would erase."""
    report: dict[str, Any] | None = None
    """What ``db.report.gather`` found."""
    is_first_of_month: bool = False
    """It is the first such message of its schedule in this month."""

    def to_json(self) -> dict[str, Any]:
        return {field.name: _to_json(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Facts:
        """Read what ``to_json`` wrote. Raises KeyError, ValueError or TypeError for anything else."""
        return cls(**{name: _from_json(name, value) for name, value in data.items()})


_READERS: dict[str, Callable[[Any], Any]] = {
    "event": Event,
    "kind": Kind,
    "trigger": Trigger,
    "at": datetime.fromisoformat,
    "due_at": datetime.fromisoformat,
    **dict.fromkeys(("reason", "remedy", "safe", "newest", "found", "expected", "frozen"), Message.from_json),
    **dict.fromkeys(
        ("first_warnings", "condition", "doubts", "suitable", "on_tape", "erased"),
        lambda items: tuple(map(Message.from_json, items)),
    ),
}


def _from_json(name: str, value: Any) -> Any:
    reader = _READERS.get(name)
    return value if value is None or reader is None else reader(value)


def _to_json(value: Any) -> Any:
    match value:
        case Message():
            return value.to_json()
        case tuple():
            return [_to_json(item) for item in value]
        case datetime():
            return value.isoformat()
        case StrEnum():
            return value.value
    return value
