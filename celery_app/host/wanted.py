"""Schedules from a file or a form, checked for the engine and this host too: a run would find it at night."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy.orm import Session

from backup.format.age import recipients
from backup.request import check_patterns
from celery_app import settings
from celery_app.host import commands
from celery_app.host.snapshots import kinds
from db.models import Drive
from policy.errors import TapelineError, UsageError, UsageErrors
from policy.guard import is_at_or_below
from policy.message import M
from policy.schedule import file as schedule_file
from policy.schedule import sources
from policy.schedule.file import WantedSchedule
from policy.schedule.table import FieldError

COLUMNS = ("checks", "before", "dumps", "source_options", "after")
FIELDS = ("check", "before", "sources", "after")
"""Where a template names commands and kinds of snapshots: its columns, and the fields of the file."""


def read(document: Any) -> list[WantedSchedule]:
    """The schedules of a file; what it leaves out is as in this host's settings.

    Raises UsageErrors with a FieldError for each field that is wrong, by itself or for the engine.
    """
    configured = settings.load()
    defaults = {"time_zone": configured.time_zone, "drive": configured.default_drive}
    try:
        wanted = schedule_file.read(document, defaults)
    except UsageErrors as error:
        raise UsageErrors([*error.errors, *_rest(document, error)]) from error
    _raise_all(error for each in wanted for error in _for_the_engine(each.name, each.template))
    return wanted


def _rest(document: Any, found: UsageErrors) -> Iterator[FieldError]:
    """What is wrong for the engine in the fields that are right by themselves."""
    wrong = {each.place for each in found.errors if isinstance(each, FieldError)}
    for name, table in _inner(document, "schedules").items():
        given = _inner(table, "backup")
        right = {
            field: [] if ("schedules", name, "backup", field) in wrong else given.get(field, [])
            for field in ("sources", "excludes", "encrypt_to", "must_be_mounted")
        }
        if not right["sources"]:
            right["must_be_mounted"] = []
        if all(isinstance(each, list) for each in right.values()):
            yield from _for_the_engine(name, {**right, **sources.apart(right["sources"])})


def _inner(table: Any, name: str) -> Mapping[str, Any]:
    inner = table.get(name) if isinstance(table, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def check_commands(session: Session, wanted: list[WantedSchedule]) -> None:
    """The commands of schedules whose drive is on this host. On any other host nobody can know; the precheck
    at the drive does.

    Raises UsageErrors with a FieldError for each field that names a command that cannot be started.
    """
    here = [each for each in wanted if is_of_this_host(session, each.schedule["drive"])]
    _raise_all(error for each in here for error in wrong_commands(each.name, each.template))


def is_of_this_host(session: Session, drive: str) -> bool:
    """Whether this host's file is the one that says what the commands of a drive are."""
    registered = session.get(Drive, drive)
    if registered is not None:
        return registered.host == socket.gethostname()
    return drive in settings.load().drives


def named(template: Mapping[str, Any]) -> dict[str, list[str]]:
    """By field, the commands that the columns of a template name."""
    dumps = [each["command"] for each in template["dumps"]]
    return dict(zip(FIELDS, (template["checks"], template["before"], dumps, template["after"]), strict=True))


def wrong_commands(schedule: str, template: Mapping[str, Any]) -> Iterator[FieldError]:
    """For each field of a schedule's template that names a command that this host cannot start, or a kind of
    snapshot that it cannot make, of this source or of any."""
    made = {path: each for path, each in template["source_options"].items() if "snapshot" in each}
    for field, names in named(template).items():
        try:
            commands.check(names)
            if field == "sources":
                kinds.check(each["snapshot"] for each in made.values())
                kinds.check_places(made)
        except TapelineError as error:
            place = ("schedules", schedule, "backup", field)
            yield FieldError(
                M("{where}: {problem}", where=".".join(place), problem=error.message.to_json()),
                error.remedy,
                place,
            )


def _for_the_engine(name: str, template: Mapping[str, Any]) -> Iterator[FieldError]:
    checks: dict[str, Callable[[], object]] = {
        "excludes": lambda: check_patterns(template["excludes"]),
        "encrypt_to": lambda: recipients(template["encrypt_to"]),
        "must_be_mounted": lambda: _check_mounts(template["must_be_mounted"], template["sources"]),
    }
    for field, check in checks.items():
        try:
            check()
        except UsageError as error:
            place = ("schedules", name, "backup")
            # Each of these names its field itself.
            yield FieldError(
                M("{where}.{problem}", where=".".join(place), problem=error.message.to_json()),
                error.remedy,
                (*place, field),
            )


def _check_mounts(demanded: list[str], sources: list[str]) -> None:
    """A folder without a source would never be checked. Raises UsageError."""
    for point in demanded:
        if not any(is_at_or_below(source, point) for source in sources):
            raise UsageError(
                M("must_be_mounted: no source lies in {point}.", point=point),
                M("Name a source, or a folder above one."),
            )


def _raise_all(wrong: Iterator[FieldError]) -> None:
    found = list(wrong)
    if found:
        raise UsageErrors(found)
