"""The kinds of values in a schedule: how to read, show and describe each."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from cronsim import CronSim, CronSimError

from policy.errors import UsageError
from policy.guard import OFF
from policy.message import M, Message
from policy.tapes.facts import TapePolicy
from policy.times.days import (
    ALL_DAYS,
    ORDINALS,
    WEEKDAYS,
    WORKDAYS,
    DayOfMonth,
)
from policy.times.local_time import zone_named


class Wrong(ValueError):
    """A value is not of its kind; the remedy describes what it should be."""

    def __init__(self, remedy: Message) -> None:
        super().__init__(remedy)
        self.remedy = remedy


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value."""

    read: Callable[[Any], Any]
    """From the file's form to the program's; raises Wrong."""
    schema: dict[str, Any]
    """The same rule as JSON Schema, as far as that can express it."""
    show: Callable[[Any], Any] = _same
    """From the program's form to the file's."""


def text(pattern: str, remedy: Message) -> Kind:
    """A text that matches a pattern as a whole."""
    compiled = re.compile(pattern)

    def read(value: Any) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise Wrong(remedy)
        return value

    return Kind(read, {"type": "string", "pattern": f"^(?:{pattern})$"})


def choice(values: Collection[str]) -> Kind:
    """One of a few words."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in values:
            raise Wrong(M("Write one of: {values}.", values=", ".join(values)))
        return value

    return Kind(read, {"enum": list(values)})


def integer(least: int, most: int) -> Kind:
    """A whole number between two, both included."""

    def read(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise Wrong(M("Write a whole number from {least} to {most}.", least=least, most=most))
        return value

    return Kind(read, {"type": "integer", "minimum": least, "maximum": most})


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong(M("Write true or false."))
    return value


BOOLEAN = Kind(_boolean, {"type": "boolean"})

_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?"


def _clock(value: Any) -> time:
    """TOML and some editors have a time type; both forms are accepted."""
    if isinstance(value, time) and not value.tzinfo and not value.microsecond:
        return value
    if not isinstance(value, str) or not re.fullmatch(_CLOCK, value):
        raise Wrong(M('Write the local time of day as "HH:MM", for instance "02:30".'))
    return time.fromisoformat(value)


def _show_clock(at: time) -> str:
    return at.isoformat("seconds" if at.second else "minutes")


CLOCK = Kind(_clock, {"type": "string", "pattern": f"^{_CLOCK}$"}, _show_clock)

_MOMENT = rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ]{_CLOCK}(Z|[+-][0-9]{{2}}:[0-9]{{2}})?"


def _moment(value: Any) -> datetime:
    """Without an offset it is a local time of the schedule's zone."""
    if isinstance(value, datetime) and not value.microsecond:
        return value
    try:
        if isinstance(value, str) and re.fullmatch(_MOMENT, value):
            return datetime.fromisoformat(value)
    except ValueError:
        pass  # 30 February has the right form, and is refused below like every other form
    raise Wrong(M('Write the local date and time as "YYYY-MM-DDTHH:MM", for instance "2026-12-31T22:00".'))


def _show_moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds" if at.second else "minutes")


MOMENT = Kind(_moment, {"type": "string", "pattern": f"^{_MOMENT}$"}, _show_moment)

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = r"([0-9]{1,5}d)?([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?"


def duration(least: timedelta) -> Kind:
    """A length of time, written as ``12h`` or ``1d6h``, in seconds."""
    shortest = int(least.total_seconds())

    def read(value: Any) -> int:
        if isinstance(value, str) and value and re.fullmatch(_DURATION, value):
            seconds = sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"([0-9]+)([dhms])", value))
            if shortest <= seconds <= 366 * 86400:
                return seconds
        raise Wrong(
            M(
                'Write a length of time from {least} to a year, for instance "90m", "12h" or "1d12h".',
                least=show_duration(shortest),
            )
        )

    return Kind(read, {"type": "string", "pattern": f"^(?=.){_DURATION}$"}, show_duration)


def show_duration(seconds: int) -> str:
    """Seconds in the form of the file: ``1d12h``."""
    parts = []
    for unit, length in _UNITS.items():
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


_SIZES = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = r"([1-9][0-9]{0,5})(MB|GB|TB|MiB|GiB|TiB)"


def _size(value: Any) -> int:
    match = re.fullmatch(_SIZE, value) if isinstance(value, str) else None
    if not match:
        raise Wrong(M('Write a size with its unit, for instance "4GiB" or "500MB".'))
    return int(match[1]) * _SIZES[match[2]]


def _show_size(count: int) -> str | int:
    fitting = [unit for unit, length in _SIZES.items() if count % length == 0 and count // length < 10**6]
    best = max(fitting, key=_SIZES.__getitem__, default=None)
    return f"{count // _SIZES[best]}{best}" if best else count


SIZE = Kind(_size, {"type": "string", "pattern": f"^{_SIZE}$"}, _show_size)

_DAY_WORDS = (
    "last",
    "first weekday",
    "last weekday",
    *(f"{ordinal} {weekday}" for ordinal in ORDINALS for weekday in WEEKDAYS),
)


def _day_of_month(value: Any) -> DayOfMonth:
    if type(value) is int and 1 <= value <= 31:
        return DayOfMonth(value - 1)
    if not isinstance(value, str) or value not in _DAY_WORDS:
        raise Wrong(
            M(
                "Write a day from 1 to 31 (31 is the last day of every month), or 'last', 'first weekday',"
                " 'last weekday' (Monday to Friday), 'first sunday', 'second tuesday', 'last friday'."
            )
        )
    ordinal, _, name = value.partition(" ")
    if not name:
        return DayOfMonth(ORDINALS[ordinal])
    return DayOfMonth(ORDINALS[ordinal], WORKDAYS if name == "weekday" else frozenset({WEEKDAYS.index(name)}))


def _show_day_of_month(day: DayOfMonth) -> int | str:
    if day.weekdays == ALL_DAYS:
        return day.index + 1 if day.index >= 0 else "last"
    ordinal = next(word for word, index in ORDINALS.items() if index == day.index)
    return f"{ordinal} {'weekday' if day.weekdays == WORKDAYS else WEEKDAYS[min(day.weekdays)]}"


DAY_OF_MONTH = Kind(
    _day_of_month,
    {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 31}, {"enum": list(_DAY_WORDS)}]},
    _show_day_of_month,
)

_ANY_MOMENT = datetime(2026, 1, 1)  # noqa: DTZ001 - only the expression is looked at


def _cron(value: Any) -> str:
    try:
        if isinstance(value, str) and len(value.split()) == 5:
            next(CronSim(value, _ANY_MOMENT))
            return " ".join(value.split())
    except (CronSimError, StopIteration, AssertionError, TypeError) as error:
        # cronsim has no check for every strange combination, such as "fri#1/2".
        raise Wrong(_CRON_REMEDY) from error
    raise Wrong(_CRON_REMEDY)


_CRON_REMEDY = M(
    'Write the five fields minute, hour, day of month, month, day of week: "30 2 * * 1-5" is 02:30 from'
    " Monday to Friday."
)

CRON = Kind(_cron, {"type": "string", "pattern": r"^\s*\S+(\s+\S+){4}\s*$"})


def _zone(value: Any) -> str:
    try:
        return zone_named(value if isinstance(value, str) else "").key
    except UsageError as error:
        raise Wrong(error.remedy or error.message) from error


ZONE = Kind(_zone, {"type": "string", "pattern": "^[A-Za-z0-9_+/-]+$"})


def _tape_policy(value: Any) -> str:
    try:
        TapePolicy.parse(value if isinstance(value, str) else "")
    except UsageError as error:
        raise Wrong(error.remedy or error.message) from error
    return str(value)


TAPE_POLICY = Kind(_tape_policy, {"type": "string", "pattern": r"^(?:current_month|rotate|pool:.+)$"})

_FOLDER = r"(/|[A-Za-z]:[\\/]|\\\\)[^\x00\n]*"


def _folders(value: Any) -> list[str]:
    remedy = M("Write a list of folders with their whole paths, as the drive's host sees them, each once.")
    if not isinstance(value, list) or not value or len(set(map(str, value))) < len(value):
        raise Wrong(remedy)
    if not all(isinstance(path, str) and re.fullmatch(_FOLDER, path) for path in value):
        raise Wrong(remedy)
    return value


def _paths(value: Any) -> list[str]:
    return _folders(value) if value != [] else []


_PERCENT = r"(100|[0-9]{1,2}(\.[0-9])?)%"
_LIMITS = ("fewer_files", "fewer_bytes", "deleted", "changed")


def _guard(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Wrong(M('Write a table of limits, such as deleted = "30%".'))
    for name in value:
        if name not in _LIMITS and name != "mount":
            raise Wrong(
                M("'{name}' is none of its fields: {names}.", name=name, names=", ".join([*_LIMITS, "mount"]))
            )
    # Where YAML reads a bare word, "off" is false.
    found = {name: OFF if each is False and name != "mount" else each for name, each in value.items()}
    for name, each in found.items():
        if name == "mount" and not isinstance(each, bool):
            raise Wrong(M("mount: write true or false."))
        if name != "mount" and not (isinstance(each, str) and re.fullmatch(f"off|{_PERCENT}", each)):
            raise Wrong(M('{name}: write a percentage such as "50%", or "off".', name=name))
    return found


def texts(pattern: str, remedy: Message) -> Kind:
    """A list of texts, each once, that match a pattern as a whole."""
    compiled = re.compile(pattern)

    def read(value: Any) -> list[str]:
        if not isinstance(value, list) or len(set(map(str, value))) < len(value):
            raise Wrong(remedy)
        if not all(isinstance(each, str) and compiled.fullmatch(each) for each in value):
            raise Wrong(remedy)
        return value

    items = {"type": "string", "pattern": f"^(?:{pattern})$"}
    return Kind(read, {"type": "array", "uniqueItems": True, "items": items})


FOLDERS = Kind(
    _folders,
    {
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": {"type": "string", "pattern": f"^{_FOLDER}$"},
    },
)

PATHS = Kind(_paths, {**FOLDERS.schema, "minItems": 0})
"""As the folders to back up, but may be empty."""

GUARD = Kind(
    _guard,
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **{
                name: {"anyOf": [{"type": "string", "pattern": f"^(?:off|{_PERCENT})$"}, {"const": False}]}
                for name in _LIMITS
            },
            "mount": {"type": "boolean"},
        },
    },
)
