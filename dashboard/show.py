"""What a page says of a value: times, sizes, states, messages; in the words of one browser."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from celery_app import settings
from db.views import seconds_between
from notify.words import Words
from policy.message import M, Message

STATES: dict[str, tuple[Message, str]] = {
    "QUEUED": (M("queued"), "secondary"),
    "RUNNING": (M("running"), "primary"),
    "WAITING_FOR_TAPE": (M("waiting for a tape"), "warning"),
    "SUCCEEDED": (M("succeeded"), "success"),
    "FAILED": (M("failed"), "danger"),
    "SKIPPED": (M("skipped"), "secondary"),
    "CANCELLED": (M("cancelled"), "dark"),
    "PENDING": (M("not yet"), "light"),
    "active": (M("in use"), "success"),
    "unknown": (M("unknown"), "warning"),
    "retired": (M("retired"), "secondary"),
    "error": (M("defective"), "danger"),
}
"""How a state is called, and the colour that it has."""

KINDS = {"backup": M("backup"), "restore": M("restore"), "verify": M("verification"), "import": M("import")}


class Show:
    """One language's way to show values; what is not there is a dash."""

    def __init__(self, words: Words) -> None:
        self.words = words

    def __call__(self, text: Message) -> str:
        """A text of the program."""
        return self.words.text(text)

    def message(self, stored: Mapping[str, Any] | None) -> str:
        """A message as it is stored."""
        return self.words.text(Message.from_json(dict(stored))) if stored else ""

    def state(self, name: str) -> str:
        return self(STATES[name][0]) if name in STATES else name

    def colour(self, name: str) -> str:
        """The class that Bootstrap has for a state."""
        return STATES[name][1] if name in STATES else "secondary"

    def kind(self, name: str) -> str:
        return self(KINDS[name])

    def at(self, iso: str | None) -> str:
        """A stored time on the clock of the setting ``time_zone``."""
        if not iso:
            return "–"
        moment = datetime.fromisoformat(iso).astimezone(ZoneInfo(settings.load().time_zone))
        return f"{moment:%Y-%m-%d %H:%M:%S}"

    def took(self, started: str | None, finished: str | None) -> str:
        if not started or not finished:
            return "–"
        return self.words.duration(seconds_between(started, finished))

    def size(self, count: float | None) -> str:
        return "–" if count is None else self.words.size(count)
