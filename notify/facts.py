"""What a notice is made from: plain facts, kept as JSON in the outbox until they are delivered."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from db.states import Kind, Trigger
from notify.events import Event
from policy.message import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One event of one run. ``None`` means that there is no such thing, and it is left out of the notice."""

    event: Event
    run_id: int
    kind: Kind
    trigger: Trigger
    at: datetime
    """When it happened; aware."""
    time_zone: str
    """The clock that the operator reads, e.g. ``Asia/Shanghai``."""
    schedule: str | None = None
    """The schedule's name; None for a run without one."""
    drive: str | None = None
    label: str | None = None
    """The tape in question."""
    set_id: str | None = None
    files: int | None = None
    """Files that are sealed and catalogued (or restored), also where the run failed later."""
    size: int | None = None
    """Bytes of those files."""
    seconds: float | None = None
    """How long it took."""
    warnings: int = 0
    """How many there are in all."""
    first_warnings: tuple[Message, ...] = ()
    """The first few of them."""
    reason: Message | None = None
    """What happened."""
    remedy: Message | None = None
    """What to do about it."""
    safe: Message | None = None
    """What is safe, where more is known than the files that are sealed."""
    next_command: str | None = None
    """The command that goes on."""
    link: str | None = None
    """A page that shows the run."""

    def to_json(self) -> dict[str, Any]:
        return {field.name: _to_json(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Facts:
        """Read what ``to_json`` wrote. Raises KeyError, ValueError or TypeError for anything else."""
        return cls(
            **{
                **data,
                "event": Event(data["event"]),
                "kind": Kind(data["kind"]),
                "trigger": Trigger(data["trigger"]),
                "at": datetime.fromisoformat(data["at"]),
                "first_warnings": tuple(Message.from_json(item) for item in data["first_warnings"]),
                **{name: _message(data[name]) for name in ("reason", "remedy", "safe")},
            }
        )


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


def _message(data: dict[str, Any] | None) -> Message | None:
    return None if data is None else Message.from_json(data)
