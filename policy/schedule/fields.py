"""The fields of a schedule and of its file: their models give errors, defaults and JSON Schema.

A new field is an entry here and a column of the same name in the database.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from policy import detection
from policy.message import M
from policy.schedule import values
from policy.schedule.sources import SOURCES
from policy.schedule.table import LeftOut, Table
from policy.schedule.values import MINUTE
from policy.schedule.when import When

BACKUP_TYPES = ("full", "incremental", "differential")

_Duration = Annotated[int, values.duration(MINUTE)]
_Size = Annotated[int, values.SIZE]
_Switch = Annotated[bool, values.BOOLEAN]
_Limit = LeftOut[Annotated[str, values.LIMIT]]
_Days = Annotated[int, values.integer(1, 36500)]
NAME = values.text(
    "[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
    M("Use 1 to 64 of the characters A-Z a-z 0-9 _ . - and begin with a letter or a digit."),
)


class Columns(Table):
    """Columns of ``scheduled_tasks``."""

    enabled: _Switch = True
    """Whether it runs at all."""
    time_zone: LeftOut[Annotated[str, values.ZONE]] = None
    """The clock of this schedule; the setting time_zone if left out."""
    drive: LeftOut[Annotated[str, NAME]] = None
    """The drive that writes it; the setting default_drive if left out."""
    tape_policy: Annotated[str, values.TAPE_POLICY] = "current_month"
    """Which tapes it accepts: current_month, rotate, or pool:NAME."""
    grace_seconds: _Duration = Field("12h", alias="grace", validate_default=True)
    """How late a run may still start when nothing could start it in time."""
    backup_window: LeftOut[Annotated[str, values.WINDOW]] = Field(None, alias="window")
    """When its runs may work, HH:MM-HH:MM local time: at its end a run seals and pauses until the next
    opening; at any time if left out."""
    rate: LeftOut[Annotated[str, values.RATE]] = None
    """How fast its sources are read at most, and when: 50MB/s 08:00-18:00; at any speed if left out."""
    run_after: LeftOut[Annotated[str, NAME]] = None
    """The schedule whose run of that period has to succeed first; if that fails, this one is missed."""
    wait_for_tape_seconds: LeftOut[_Duration] = Field(None, alias="wait_for_tape")
    """How long a run waits for the right tape; it fails at once if left out."""
    unreadable_label: Annotated[str, values.choice(("refuse", "continue"))] = "refuse"
    """What happens with a tape whose label cannot be read: refuse it, or try again before the format."""
    on_format_failure: Annotated[str, values.choice(("continue", "fail"))] = "continue"
    """Whether a run continues when the tape cannot be formatted."""
    priority: Annotated[str, values.choice(("high", "normal", "low"))] = "normal"
    """Which of several queued runs gets the drive first; at the same priority full backups go first."""
    after_run: Annotated[str, values.choice(("keep", "eject", "export"))] = "keep"
    """What happens to the tape after a run: it stays in the drive, is ejected (a library puts it into its
    slot), or is exported into the library's mail slot."""


class Guard(Table):
    """How far a source may be from what it was; the usual limit where one is left out."""

    fewer_files: _Limit = None
    """How many fewer files it may have, such as 50%."""
    fewer_bytes: _Limit = None
    """How much less it may have, such as 50%."""
    deleted: _Limit = None
    """How many of its files may be deleted, such as 30%."""
    changed: _Limit = None
    """How many of its files may have changed, such as 60%."""
    mount: LeftOut[_Switch] = None
    """Whether it has to be on the same file system."""


class Backup(Table):
    """What a schedule backs up, and how."""

    # Columns of ``backup_tasks``: the template.
    sources: Annotated[list[Any], SOURCES]
    """The folders to back up, as the drive's host sees them, and what commands of that host print."""
    type: Annotated[str, values.choice(BACKUP_TYPES)] = "full"
    """full is everything, incremental what changed since the last set, differential what changed since the
    last full one."""
    compression: Annotated[str, values.choice(("zstd", "none"))] = "zstd"
    """How archives are compressed."""
    compression_level: Annotated[int, values.integer(1, 19)] = 3
    """1 is fast, 19 is small (Zstandard's levels)."""
    archive_bytes: _Size = Field("4GiB", alias="archive_size", validate_default=True)
    """About how large one archive on the tape becomes."""
    retention_days: LeftOut[_Days] = None
    """How many days a set is kept at least; for ever if left out."""
    keep_sets: LeftOut[Annotated[int, values.integer(1, 1000)]] = None
    """Of the sets of each type, so many of the newest are kept."""
    excludes: Annotated[
        list[str],
        values.texts(r"[^\x00\n]+", M("Write a list of patterns as in .gitignore, each once.")),
    ] = Field([])
    """What is left out: patterns as in .gitignore."""
    exclude_caches: _Switch = False
    """Whether folders with a CACHEDIR.TAG are left out."""
    one_file_system: _Switch = False
    """Whether other file systems below the sources are left out."""
    max_file_bytes: LeftOut[_Size] = Field(None, alias="max_file_size")
    """Larger files are left out; none if left out."""
    max_file_age_days: LeftOut[_Days] = None
    """Files that were changed last before so many days are left out; none if left out."""
    detect: Annotated[str, values.choice(detection.CHOICES)] = detection.AUTO
    """Which fields of a file show that it has changed: auto, by its file system, or these fields."""
    on_silent_source: Annotated[str, values.choice(("fail", "continue"))] = "fail"
    """Whether a run fails when a share stops answering, or goes on with the other sources, with a warning."""
    guard: Guard = Field({}, validate_default=True)
    """How far the sources may be from what they were before a run is held: percentages, or off."""
    must_be_mounted: Annotated[list[str], values.folders(0)] = Field([])
    """Folders at which a file system has to be mounted, or the run fails."""
    checks: Annotated[list[str], values.COMMANDS] = Field([], alias="check")
    """Commands of the drive's host that the precheck runs: one that fails ends the run."""
    before: Annotated[list[str], values.COMMANDS] = Field([])
    """Commands of the drive's host that run before anything is read or written."""
    after: Annotated[list[str], values.COMMANDS] = Field([])
    """Commands of the drive's host that run at the end of a run, however it ends."""
    verify_percent: LeftOut[Annotated[int, values.integer(1, 100)]] = None
    """After each backup so much of it is read back; nothing if left out."""
    encrypt_to: Annotated[
        list[str],
        values.texts(
            "(age1[0-9a-z]+|ssh-(ed25519|rsa) .+)",
            M("Write a list of public keys of age, each once: age1..."),
        ),
    ] = Field([])
    """Public keys of age that can read it; it is not encrypted if left out."""


class Schedule(Columns):
    """A schedule as the file has it."""

    when: When
    """When it runs."""
    backup: Backup
    """What it backs up, and how."""


def _by_name(schema: dict[str, Any]) -> None:
    """A wrong name is refused in an editor, too; pydantic's schema lets it have any value."""
    [one] = schema.pop("patternProperties").values()
    schema |= {"propertyNames": NAME.schema, "additionalProperties": one}


class File(Table):
    """The file of schedules."""

    schedules: dict[Annotated[str, NAME], Schedule] = Field(json_schema_extra=_by_name)
    """The schedules, by name."""
