"""A text for an operator, stored as data so that it can be shown in any language, even years later."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """An English text with ``{named}`` fields, which is its gettext id, and the values of the fields.

    Values are JSON values: a message is stored in the database and sent through queues.
    """

    id: str
    params: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """The English text, for logs; a value that is itself a message is shown as its text."""
        return self.id.format(**{name: _english(value) for name, value in self.params.items()})

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "params": self.params}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Message:
        return cls(data["id"], data.get("params") or {})


def _english(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"id", "params"}:
        return str(Message.from_json(value))
    return value


def M(text: str, /, **params: Any) -> Message:  # noqa: N802 - the short name is gettext's extraction keyword
    """Create a message where it is used; Babel extracts the first argument of ``M(...)``."""
    return Message(text, params)
