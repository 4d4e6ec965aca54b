"""The fields of a schedule: one table that reads them, shows them and describes them to editors.

A new field is a line here and a column of the same name (or ``column``) in the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from difflib import get_close_matches
from typing import Any

from policy.errors import UsageError
from policy.message import M, Message
from policy.schedule import values
from policy.schedule.values import Kind, Wrong
from policy.times.days import WEEKDAYS
from policy.times.period import ScheduleType

REQUIRED = object()
"""The default of a field without a default."""


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    kind: Kind
    doc: str
    """The description in an editor; one line, English."""
    default: Any = REQUIRED
    """As the program uses it."""
    column: str = ""
    """The column of its value, if that has another name."""

    @property
    def stored_as(self) -> str:
        return self.column or self.name

    def show(self, value: Any) -> Any:
        """A value as the file would have it; None if the field is left out."""
        return None if value is None else self.kind.show(value)


MINUTE = timedelta(minutes=1)
NAME = values.text(
    "[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
    M("Use 1 to 64 of the characters A-Z a-z 0-9 _ . - and begin with a letter or a digit."),
)

AT = Field("at", values.CLOCK, "Local time of day, HH:MM, in the schedule's time zone.")

WHEN: dict[ScheduleType, tuple[Field, ...]] = {
    ScheduleType.ONCE: (Field("at", values.MOMENT, "Local date and time, YYYY-MM-DDTHH:MM."),),
    ScheduleType.INTERVAL: (
        Field("every", values.duration(MINUTE), "How long from one run to the next, such as 6h."),
        Field(
            "start",
            values.MOMENT,
            "The moment from which it is counted; midnight of 1 January 2000 if left out.",
            default=None,
        ),
    ),
    ScheduleType.DAILY: (AT,),
    ScheduleType.WEEKLY: (
        Field("day", values.choice(WEEKDAYS), "The day of the week, monday to sunday."),
        AT,
    ),
    ScheduleType.MONTHLY: (
        Field("day", values.DAY_OF_MONTH, "1 to 31, last, first weekday, last friday, ..."),
        AT,
    ),
    ScheduleType.YEARLY: (
        Field("month", values.integer(1, 12), "The month, 1 to 12."),
        Field("day", values.DAY_OF_MONTH, "1 to 31, last, first weekday, last friday, ..."),
        AT,
    ),
    ScheduleType.CRON: (Field("expression", values.CRON, "Five fields, as Debian's cron reads them."),),
    ScheduleType.MANUAL: (),
}
"""When a schedule of each type fires; stored as ``schedule_config``."""

SCHEDULE = (
    Field("enabled", values.BOOLEAN, "Whether it runs at all.", default=True),
    Field("time_zone", values.ZONE, "The clock of this schedule; the setting time_zone if left out."),
    Field("drive", NAME, "The drive that writes it; the setting default_drive if left out."),
    Field(
        "tape_policy",
        values.TAPE_POLICY,
        "Which tapes it accepts: current_month, rotate, or pool:NAME.",
        default="current_month",
    ),
    Field(
        "grace",
        values.duration(MINUTE),
        "How late a run may still start when nothing could start it in time.",
        default=12 * 3600,
        column="grace_seconds",
    ),
    Field(
        "wait_for_tape",
        values.duration(MINUTE),
        "How long a run waits for the right tape; it fails at once if left out.",
        default=None,
        column="wait_for_tape_seconds",
    ),
    Field(
        "unreadable_label",
        values.choice(("refuse", "continue")),
        "What happens with a tape whose label cannot be read: refuse it, or try again before the format.",
        default="refuse",
    ),
    Field(
        "on_format_failure",
        values.choice(("continue", "fail")),
        "Whether a run goes on when the tape cannot be formatted.",
        default="continue",
    ),
    Field(
        "after_run",
        values.choice(("keep", "eject")),
        "Whether the tape is ejected after a run.",
        default="keep",
    ),
)
"""Columns of ``scheduled_tasks``."""

BACKUP_TYPES = ("full", "incremental", "differential")

BACKUP = (
    Field("sources", values.FOLDERS, "The folders to back up, as the drive's host sees them."),
    Field(
        "type",
        values.choice(BACKUP_TYPES),
        "full is everything, incremental what changed since the last set,"
        " differential what changed since the last full one.",
        default="full",
    ),
    Field("compression", values.choice(("zstd", "none")), "How archives are compressed.", default="zstd"),
    Field(
        "compression_level", values.integer(1, 19), "1 is fast, 19 is small (Zstandard's levels).", default=3
    ),
    Field(
        "archive_size",
        values.SIZE,
        "About how large one archive on the tape becomes.",
        default=4 << 30,
        column="archive_bytes",
    ),
    Field(
        "retention_days",
        values.integer(1, 36500),
        "How many days a set is kept at least; for ever if left out.",
        default=None,
    ),
    Field(
        "keep_sets",
        values.integer(1, 1000),
        "Of the sets of each type, so many of the newest are kept.",
        default=None,
    ),
    Field(
        "excludes",
        values.texts(r"[^\x00\n]+", M("Write a list of patterns as in .gitignore, each once.")),
        "What is left out: patterns as in .gitignore.",
        default=[],
    ),
    Field(
        "exclude_caches",
        values.BOOLEAN,
        "Whether folders with a CACHEDIR.TAG are left out.",
        default=False,
    ),
    Field(
        "one_file_system",
        values.BOOLEAN,
        "Whether other file systems below the sources are left out.",
        default=False,
    ),
    Field(
        "max_file_size",
        values.SIZE,
        "Larger files are left out; none if left out.",
        default=None,
        column="max_file_bytes",
    ),
    Field(
        "max_file_age_days",
        values.integer(1, 36500),
        "Files that were changed last before so many days are left out; none if left out.",
        default=None,
    ),
    Field(
        "guard",
        values.GUARD,
        "How far the sources may be from what they were before a run is held: percentages, or off.",
        default={},
    ),
    Field(
        "must_be_mounted",
        values.PATHS,
        "Folders at which a file system has to be mounted, or the run fails.",
        default=[],
    ),
    Field(
        "verify_percent",
        values.integer(1, 100),
        "After each backup so much of it is read back; nothing if left out.",
        default=None,
    ),
    Field(
        "encrypt_to",
        values.texts(
            "(age1[0-9a-z]+|ssh-(ed25519|rsa) .+)",
            M("Write a list of public keys of age, each once: age1..."),
        ),
        "Public keys of age that can read it; it is not encrypted if left out.",
        default=[],
    ),
)
"""Columns of ``backup_tasks``: the template."""


def read(
    fields: tuple[Field, ...], given: Any, where: str, defaults: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The given values by field name, with defaults filled in. Raises UsageError that names the field."""
    table = as_table(given, where)
    known = {field.name for field in fields}
    for name in table:
        if name not in known:
            raise unknown(f"{where}.{name}", str(name), sorted(known))
    return {field.name: _value(field, table, where, defaults or {}) for field in fields}


def _value(field: Field, table: Mapping[str, Any], where: str, defaults: Mapping[str, Any]) -> Any:
    if field.name not in table:
        default = defaults.get(field.name, field.default)
        if default is REQUIRED:
            raise missing(field.name, field.kind, where)
        return default
    return value_of(field.kind, table[field.name], f"{where}.{field.name}")


def missing(name: str, kind: Kind, where: str) -> UsageError:
    """A required field is missing."""
    return UsageError(M("{where}: '{field}' is missing.", where=where, field=name), _example(kind))


def _example(kind: Kind) -> Message | None:
    """What to write for a field: its kind's description of a missing value."""
    try:
        kind.read(None)
    except Wrong as wrong:
        return wrong.remedy
    return None


def value_of(kind: Kind, value: Any, where: str) -> Any:
    """A value of a kind. Raises UsageError that names the place and the remedy."""
    try:
        return kind.read(value)
    except Wrong as wrong:
        raise UsageError(
            M("{where}: {value} is not right here.", where=where, value=_as_written(value)), wrong.remedy
        ) from wrong


def _as_written(value: Any) -> str:
    """A value as it may be in the file, not as Python shows it."""
    match value:
        case bool():
            return str(value).lower()
        case date() | time():
            return value.isoformat()
    return repr(value)


def as_table(given: Any, where: str) -> Mapping[str, Any]:
    """Raises UsageError unless it is a table."""
    if not isinstance(given, Mapping):
        raise UsageError(M("{where}: this must be a table of fields.", where=where))
    return given


def unknown(where: str, name: str, known: list[str]) -> UsageError:
    """The error for an unknown field, with the probable name."""
    close = get_close_matches(name, known)
    remedy = (
        M("Did you mean '{field}'?", field=close[0])
        if close
        else M("There are: {names}", names=", ".join(known))
    )
    return UsageError(M("{where}: there is no such field.", where=where), remedy)
