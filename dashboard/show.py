"""How a page shows values: times, sizes, states, messages; in the words of one browser."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from babel.dates import format_date, get_day_names
from tornado.escape import xhtml_escape

from celery_app import settings
from db.models import now
from db.views import seconds_between
from notify.states import STATES
from notify.words import Words
from policy.message import M, Message
from policy.tapes import facts

MEDIA = {**facts.STATES, "formatted": M("a tape without a label")}
"""The name for the contents of a drive without a label."""

STEPS = {
    "precheck": M("Check period and tape"),
    "create_record": M("Make the record"),
    "format_tape": M("Format the tape"),
    "update_label": M("Enter the label"),
    "run_backup": M("Write the backup"),
    "restore": M("Restore the files"),
    "verify": M("Read the set back"),
    "import_tape": M("Read the tape's catalogue"),
    "read_set": M("Read the set to copy"),
    "write_copy": M("Write the copy"),
    "notify": M("Tell the operators"),
}
"""What each step does."""

TOLD = {
    "sent": M("sent"),
    "waits": M("not sent yet"),
    "lost": M("not sent"),
    "nobody": M("nobody was told"),
}
"""The delivery of a run's message."""


def _is_message(step: Mapping[str, Any]) -> bool:
    return step["state"] == "SUCCEEDED" and step.get("told") in TOLD


def _state_of(step: Mapping[str, Any]) -> str:
    """For the step at which its run waits for a tape."""
    return "WAITING_FOR_TAPE" if step.get("waits") else str(step["state"])


TYPES = {"full": M("full backup"), "incremental": M("incremental"), "differential": M("differential")}

REPEATS = {
    "once": M("once"),
    "interval": M("at intervals"),
    "daily": M("daily"),
    "weekly": M("weekly"),
    "monthly": M("monthly"),
    "yearly": M("yearly"),
    "cron": M("by cron expression"),
    "manual": M("by hand"),
}
"""How a schedule repeats."""

POLICIES = {
    "current_month": M("tapes of this month"),
    "rotate": M("tapes of this month, or expired"),
}
"""Which tapes a schedule takes."""

KINDS = {
    "backup": M("backup"),
    "restore": M("restore"),
    "verify": M("verification"),
    "import": M("import"),
    "copy": M("copy"),
}


VERDICTS = {
    "format": (M("would format it"), "danger"),
    "append": (M("would append to it; no format needed"), "success"),
    "refuse": (M("would not use it"), "secondary"),
}
"""What a run would do with a tape."""

_STATED = frozenset({"before", "after", "state", "to"})
"""Parameters of messages that name the state of a run or a tape."""


class Show:
    """One language's way to show values; a missing value is a dash."""

    def __init__(self, words: Words) -> None:
        self.words = words

    def __call__(self, text: Message) -> str:
        """A text of the program; a state in it has the same name as everywhere on the pages."""
        params = {
            name: STATES[value].word if name in _STATED and value in STATES else value
            for name, value in text.params.items()
        }
        return self.words.text(Message(text.id, params))

    def message(self, stored: Mapping[str, Any] | None) -> str:
        """A message as it is stored."""
        return self(Message.from_json(dict(stored))) if stored else ""

    def error(self, stored: Mapping[str, Any]) -> str:
        """What happened and what to do, in the form stored with a step."""
        remedy = stored.get("remedy")
        return self.words.joined(
            Message.from_json(stored["message"]), Message.from_json(remedy) if remedy else None
        )

    def state(self, name: str) -> str:
        return self(STATES[name].word) if name in STATES else name

    def colour(self, name: str) -> str:
        """Bootstrap's class for a state."""
        return STATES[name].page if name in STATES else "secondary"

    def badge(self, name: str, warnings: int = 0) -> str:
        """A state as a coloured word, in HTML; a success that left something out shows that."""
        text, colour = self.state(name), self.colour(name)
        if warnings:
            text, colour = self(M("succeeded, warnings: {count}", count=warnings)), "warning"
        return f'<span class="badge text-bg-{colour}">{xhtml_escape(text)}</span>'

    def verdict(self, name: str) -> str:
        return self(VERDICTS[name][0])

    def badge_of_step(self, step: Mapping[str, Any]) -> str:
        """The state of a step, in HTML; for the message, whether anybody got it."""
        text = self(TOLD[step["told"]]) if _is_message(step) else self.state(_state_of(step))
        return f'<span class="badge text-bg-{self.colour_of_step(step)}">{xhtml_escape(text)}</span>'

    def colour_of_step(self, step: Mapping[str, Any]) -> str:
        if not _is_message(step):
            return self.colour(_state_of(step))
        return {"sent": "success", "waits": "info"}.get(step["told"], "warning")

    def verdict_colour(self, name: str) -> str:
        return VERDICTS[name][1]

    def kind(self, name: str) -> str:
        return self(KINDS[name])

    def step(self, name: str) -> str:
        return self(STEPS[name])

    def type(self, name: str) -> str:
        return self(TYPES[name])

    def repeats(self, name: str) -> str:
        return self(REPEATS[name])

    def policy(self, text: str) -> str:
        """Which tapes a schedule takes; an invalid policy is shown as it is in the row."""
        kind, _, pool = text.partition(":")
        if pool:
            return self(M("tapes of pool {pool}", pool=pool))
        return self(POLICIES[kind]) if kind in POLICIES else text

    def medium(self, medium: Mapping[str, Any] | None) -> str:
        """The last known contents of a drive; a dash if nobody has inspected it yet."""
        if not medium:
            return "–"
        return self.tape(medium.get("label") or medium["state"])

    def tape(self, name: str) -> str:
        """A tape by its label; without a label by its state, in words."""
        return self(MEDIA[name]) if name in MEDIA else name

    def at(self, iso: str | None) -> str:
        """A stored time on the page's clock."""
        return f"{_on_our_clock(iso):%Y-%m-%d %H:%M:%S}" if iso else "–"

    def at_ns(self, stamp: int | None) -> str:
        """The time of a file, in nanoseconds since 1970; a dash if no calendar reaches that far."""
        try:
            return "–" if stamp is None else self.at(datetime.fromtimestamp(stamp // 10**9, UTC).isoformat())
        except (ValueError, OverflowError, OSError):
            return "–"

    def until_minute(self, iso: str | None) -> str:
        """A stored time on the page's clock, with the day of the week, without seconds."""
        if not iso:
            return "–"
        moment = _on_our_clock(iso)
        return f"{format_date(moment, 'EEE', locale=self.words.language)} {moment:%Y-%m-%d %H:%M}"

    def weekday(self, local: datetime) -> str:
        """The day of the week of a moment, short."""
        return str(format_date(local, "EEE", locale=self.words.language))

    def weekdays(self) -> list[str]:
        """The days of a week, short, from Monday on."""
        names = get_day_names("abbreviated", locale=self.words.language)
        return [names[number] for number in range(7)]

    def day(self, iso: str | None) -> str:
        """The day of a stored time on the page's clock."""
        return f"{_on_our_clock(iso):%Y-%m-%d}" if iso else "–"

    def clock(self) -> str:
        """The clock of the page's times: ``Asia/Shanghai (UTC+08:00)``."""
        moment = _on_our_clock(now().isoformat())
        return f"{settings.load().time_zone} (UTC{moment.isoformat()[-6:]})"

    def ago(self, iso: str | None) -> str:
        """How long ago a stored time is."""
        if not iso:
            return "–"
        seconds = max(seconds_between(iso, now().isoformat()), 0)
        return self(M("{time} ago", time=self.words.duration(seconds)))

    def kept(self, kept: Mapping[str, Any]) -> str:
        """How long the sets on a tape are kept."""
        if kept["ever"]:
            return self(M("for good"))
        ways = [self.day(kept["until"])] if kept["until"] else []
        return ", ".join(ways + ([self(M("while among the newest"))] if kept["newest"] else [])) or "–"

    def took(self, started: str | None, finished: str | None) -> str:
        """How long something took; if it has not ended, up to now."""
        if not started:
            return "–"
        return self.words.duration(max(seconds_between(started, finished or now().isoformat()), 0))

    def worked(self, seconds: float | None) -> str:
        """How long a run has worked, without its waiting time."""
        return "–" if seconds is None else self.words.duration(seconds)

    def about(self, seconds: float | None) -> str:
        """An estimate of a time."""
        if seconds is not None and seconds < 60:
            return self(M("under a minute"))
        return self.worked(seconds)

    def size(self, count: float | None) -> str:
        return "–" if count is None else self.words.size(count)


def _on_our_clock(iso: str) -> datetime:
    return datetime.fromisoformat(iso).astimezone(settings.load().zone)
