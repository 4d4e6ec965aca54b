"""The kinds of values in a schedule: how to read, show and describe each."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Literal

from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import CoreSchema, core_schema

from policy.errors import UsageError
from policy.guard import OFF
from policy.message import M, Message
from policy.tapes.facts import TapePolicy
from policy.times import window
from policy.times.days import (
    ALL_DAYS,
    ORDINALS,
    WEEKDAYS,
    WORKDAYS,
    DayOfMonth,
)
from policy.times.local_time import zone_named


class WrongValue(ValueError):
    """A value is not of its kind; the remedy describes what it should be."""

    def __init__(self, remedy: Message) -> None:
        super().__init__(remedy)
        self.remedy = remedy


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True, eq=False)
class ValueKind:
    """A kind of value; a model names it beside the field's type, in ``Annotated``."""

    read: Callable[[Any], Any]
    """From the file's form to the program's; raises WrongValue."""
    schema: dict[str, Any]
    """The same rule as JSON Schema, as far as that can express it."""
    show: Callable[[Any], Any] = _same
    """From the program's form to the file's."""

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        shown = core_schema.plain_serializer_function_ser_schema(self.show, when_used="unless-none")
        return core_schema.no_info_plain_validator_function(self.read, serialization=shown)

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return dict(self.schema)


def _of(given: Any, remedy: Message, show: Callable[[Any], Any] = _same) -> ValueKind:
    """A strict pydantic type with our remedy."""
    adapter = TypeAdapter[Any](given, config=ConfigDict(strict=True))

    def read(value: Any) -> Any:
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            raise WrongValue(remedy) from error

    return ValueKind(read, adapter.json_schema(), show)


def _unique(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise ValueError("not each once")
    return values


def _matching(pattern: str, read: Callable[[str], Any] = _same) -> Any:
    return Annotated[str, Field(pattern=f"^(?:{pattern})$", min_length=1), AfterValidator(read)]


def text(pattern: str, remedy: Message) -> ValueKind:
    """A text that matches a pattern as a whole."""
    return _of(_matching(pattern), remedy)


def texts(pattern: str, remedy: Message, least: int = 0) -> ValueKind:
    """A list of texts, each once, that match a pattern as a whole."""
    item: Any = _matching(pattern)
    rules = Field(min_length=least, json_schema_extra={"uniqueItems": True})
    return _of(Annotated[list[item], AfterValidator(_unique), rules], remedy)


def choice(values: Collection[str], remedy: Message | None = None) -> ValueKind:
    """One of a few words."""
    remedy = remedy or M("Write one of: {values}.", values=", ".join(values))
    return _of(Literal[tuple(values)], remedy)


def integer(least: int, most: int) -> ValueKind:
    """A whole number between two, both included."""
    remedy = M("Write a whole number from {least} to {most}.", least=least, most=most)
    return _of(Annotated[int, Field(ge=least, le=most)], remedy)


BOOLEAN = _of(bool, M("Write true or false."))

_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?"


def _clock(value: Any) -> time:
    """TOML and some editors have a time type; both forms are accepted."""
    if isinstance(value, time) and not value.tzinfo and not value.microsecond:
        return value
    if not isinstance(value, str) or not re.fullmatch(_CLOCK, value):
        raise WrongValue(M('Write the local time of day as "HH:MM", for instance "02:30".'))
    return time.fromisoformat(value)


def _show_clock(at: time) -> str:
    return at.isoformat("seconds" if at.second else "minutes")


CLOCK = ValueKind(_clock, {"type": "string", "pattern": f"^{_CLOCK}$"}, _show_clock)

_MINUTE_OF_DAY = r"([01][0-9]|2[0-3]):[0-5][0-9]"


def _window(value: str) -> str:
    window.parse(value)
    return value


WINDOW = _of(
    _matching(f"{_MINUTE_OF_DAY}-{_MINUTE_OF_DAY}", _window),
    window.REMEDY,
)

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
    raise WrongValue(
        M('Write the local date and time as "YYYY-MM-DDTHH:MM", for instance "2026-12-31T22:00".')
    )


def _show_moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds" if at.second else "minutes")


MOMENT = ValueKind(_moment, {"type": "string", "pattern": f"^{_MOMENT}$"}, _show_moment)

MINUTE = timedelta(minutes=1)
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = r"([0-9]{1,5}d)?([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?"


def duration(least: timedelta) -> ValueKind:
    """A length of time, written as ``12h`` or ``1d6h``, in seconds."""
    shortest = int(least.total_seconds())

    def read(value: str) -> int:
        seconds = sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"([0-9]+)([dhms])", value))
        if not shortest <= seconds <= 366 * 86400:
            raise ValueError("too short or too long")
        return seconds

    remedy = M(
        'Write a length of time from {least} to a year, for instance "90m", "12h" or "1d12h".',
        least=show_duration(shortest),
    )
    return _of(_matching(_DURATION, read), remedy, show_duration)


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


def size_of(value: str) -> int:
    """The bytes of a size as the file has it."""
    unit = value.lstrip("0123456789")
    return int(value.removesuffix(unit)) * _SIZES[unit]


def _show_size(count: int) -> str | int:
    fitting = [unit for unit, length in _SIZES.items() if count % length == 0 and count // length < 10**6]
    best = max(fitting, key=_SIZES.__getitem__, default=None)
    return f"{count // _SIZES[best]}{best}" if best else count


SIZE = _of(
    _matching(_SIZE, size_of), M('Write a size with its unit, for instance "4GiB" or "500MB".'), _show_size
)

_RATE = f"{_SIZE}/s( {_MINUTE_OF_DAY}-{_MINUTE_OF_DAY})?"


def _rate(value: str) -> str:
    _, _, hours = value.partition(" ")
    if hours:
        window.parse(hours)
    return value


RATE = _of(
    _matching(_RATE, _rate),
    M('Write a speed, and when it applies if not always: "50MB/s" or "50MB/s 08:00-18:00".'),
)

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
        raise WrongValue(
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


DAY_OF_MONTH = ValueKind(
    _day_of_month,
    {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 31}, {"enum": list(_DAY_WORDS)}]},
    _show_day_of_month,
)

_ANY_MOMENT = datetime(2026, 1, 1)  # noqa: DTZ001 - only the expression is looked at


def _cron(value: str) -> str:
    try:
        next(CronSim(value, _ANY_MOMENT))
    except (CronSimError, StopIteration, AssertionError, TypeError) as error:
        # cronsim has no check for every strange combination, such as "fri#1/2".
        raise ValueError("no expression") from error
    return " ".join(value.split())


CRON = _of(
    _matching(r"\s*\S+(\s+\S+){4}\s*", _cron),
    M(
        'Write the five fields minute, hour, day of month, month, day of week: "30 2 * * 1-5" is 02:30 from'
        " Monday to Friday."
    ),
)


def _zone(value: Any) -> str:
    try:
        return zone_named(value if isinstance(value, str) else "").key
    except UsageError as error:
        raise WrongValue(error.remedy or error.message) from error


ZONE = ValueKind(_zone, {"type": "string", "pattern": "^[A-Za-z0-9_+/-]+$"})


def _tape_policy(value: Any) -> str:
    try:
        TapePolicy.parse(value if isinstance(value, str) else "")
    except UsageError as error:
        raise WrongValue(error.remedy or error.message) from error
    return str(value)


TAPE_POLICY = ValueKind(_tape_policy, {"type": "string", "pattern": r"^(?:current_month|rotate|pool:.+)$"})


def folders(least: int) -> ValueKind:
    """A list of at least so many folders."""
    remedy = M("Write a list of folders with their whole paths, as the drive's host sees them, each once.")
    return texts(FOLDER, remedy, least)


COMMAND = "[A-Za-z0-9][A-Za-z0-9_-]{0,31}"
COMMANDS = texts(
    COMMAND,
    M('Write a list of names of commands of the drive\'s host, each once, for instance ["quiesce"].'),
)
"""What they are, only that host's own tapeline.toml says."""

FOLDER = r"(/|[A-Za-z]:[\\/]|\\\\)[^\x00\n]*"


def _limit(value: str | bool) -> str:
    if value is True:
        raise ValueError("no limit")
    # Where YAML reads a bare word, "off" is false.
    return value or OFF


_OFF_AS_FALSE = Annotated[bool, Field(json_schema_extra={"const": False})]
LIMIT = _of(
    Annotated[_OFF_AS_FALSE | _matching(r"off|(100|[0-9]{1,2}(\.[0-9])?)%"), AfterValidator(_limit)],
    M('Write a percentage such as "50%", or "off".'),
)
