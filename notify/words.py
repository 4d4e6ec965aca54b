"""Texts in the operator's language: messages, errors, sizes, durations, times."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from gettext import GNUTranslations
from io import BytesIO
from pathlib import Path
from string import Formatter
from typing import Any, Literal, get_args

from babel.dates import get_day_names
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from policy import units
from policy.errors import TapelineError, UsageError
from policy.message import M, Message
from policy.times.local_time import zone_named

Language = Literal["zh_CN", "en"]

LOCALE = Path(__file__).parent / "locale"


def catalogue(language: str) -> Catalog:
    """Read the catalogue of a language from its source, so that no compiled file can be outdated."""
    with (LOCALE / language / "LC_MESSAGES" / "tapeline.po").open("rb") as source:
        return read_po(source, locale=language, domain="tapeline", abort_invalid=True)


@cache
def _translations(language: str) -> GNUTranslations:
    compiled = BytesIO()
    write_mo(compiled, catalogue(language))
    compiled.seek(0)
    return GNUTranslations(compiled)


class _CountingFormatter(Formatter):
    """As ``str.format``, and also ``{count:file|files}``: "1 file", "3 files"."""

    def format_field(self, value: Any, spec: str) -> str:
        one, several, many = spec.partition("|")
        if not several:
            return str(super().format_field(value, spec))
        return f"{value} {one if str(value) == '1' else many}"


_FORMAT = _CountingFormatter()


# A list of schedules has one for each line.
@cache
def _day_name(language: str, weekday: int) -> str:
    return str(get_day_names("abbreviated", locale=language)[weekday])


class Words:
    """One language's words. Raises UsageError for a language without a catalogue."""

    def __init__(self, language: Language) -> None:
        if language not in get_args(Language):
            raise UsageError(
                M("language: '{language}' is not a language that Tapeline speaks.", language=language),
                M("Use zh_CN or en."),
            )
        self.language = language
        self._translations = _translations(language)

    def unfilled(self, text: str) -> str:
        """A text in this language with its fields not filled in."""
        # The empty id is that of gettext's own header.
        return self._translations.gettext(text) if text else ""

    def text(self, message: Message) -> str:
        """The message in this language; a parameter that is itself a message is translated too."""
        values = {name: self._value(value) for name, value in message.params.items()}
        return _FORMAT.vformat(self.unfilled(message.id), (), values)

    def error(self, error: TapelineError) -> str:
        """What happened and what to do, in one line."""
        return self.joined(error.message, error.remedy)

    def joined(self, message: Message, remedy: Message | None) -> str:
        """Two sentences, the second if there is one; Chinese has no space between them."""
        first = self.text(message)
        if remedy is None:
            return first
        return first + ("" if first.endswith("。") else " ") + self.text(remedy)

    def number(self, number: int) -> str:
        """A whole number with its thousands apart: ``12,345``."""
        return str(format_decimal(number, locale=self.language))

    def size(self, size: float) -> str:
        """Bytes in decimal units, as tapes are sold: ``1.2 GB``."""
        return units.size(size)

    def rate(self, size: float, seconds: float) -> str | None:
        """Bytes a second: ``148.2 MB/s``; None if the time is too short to measure."""
        return units.rate(size / seconds) if seconds > 0 else None

    def duration(self, seconds: float) -> str:
        """A length of time in its two largest units: ``2 h 5 min``."""
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        if days:
            return self.text(M("{days} d {hours} h", days=days, hours=hours))
        if hours:
            return self.text(M("{hours} h {minutes} min", hours=hours, minutes=minutes))
        if minutes:
            return self.text(M("{minutes} min {seconds} s", minutes=minutes, seconds=rest))
        return self.text(M("{seconds} s", seconds=rest))

    def moment(self, moment: datetime, time_zone: str) -> str:
        """A point in time on the clock of a time zone: ``2026-11-23 21:43 (Asia/Shanghai)``.

        ``moment`` is aware. Raises UsageError for a time zone that does not exist.
        """
        if moment.tzinfo is None:
            raise ValueError("a moment without a time zone")
        return f"{moment.astimezone(zone_named(time_zone)):%Y-%m-%d %H:%M} ({time_zone})"

    def clock(self, moment: datetime) -> str:
        """A local time with its day of the week: ``2026-11-23 Mon 21:43``."""
        return f"{moment:%Y-%m-%d} {_day_name(self.language, moment.weekday())} {moment:%H:%M}"

    def _value(self, value: Any) -> Any:
        if isinstance(value, Message):
            return self.text(value)
        if isinstance(value, Mapping) and value.keys() == {"id", "params"}:
            return self.text(Message.from_json(dict(value)))
        return value
