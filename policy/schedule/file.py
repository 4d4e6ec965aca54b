"""The file of schedules: its contents, a row in the form of the file, and its JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policy.errors import UsageError
from policy.message import M
from policy.schedule import sources, table
from policy.schedule.fields import Backup, Columns, File, Schedule
from policy.schedule.table import Table


@dataclass(frozen=True, slots=True)
class WantedSchedule:
    """A schedule from the file, as values of columns."""

    name: str
    schedule: dict[str, Any]
    template: dict[str, Any]


def read(document: Any, defaults: Mapping[str, Any]) -> list[WantedSchedule]:
    """The schedules of a file. ``defaults``: for fields whose default is a setting.

    Raises UsageErrors with a FieldError for each field that is wrong.
    """
    # An empty file of YAML is nothing, one of TOML an empty table.
    if document is None or document == {}:
        raise UsageError(
            M("The file names no schedules."),
            M("Begin with [schedules.NAME] in TOML, 'schedules:' in YAML; see docs/schedules.example.toml."),
        )
    schedules = table.read(File, document).schedules
    return [_wanted(name, schedule, defaults) for name, schedule in schedules.items()]


def _wanted(name: str, schedule: Schedule, defaults: Mapping[str, Any]) -> WantedSchedule:
    template = _columns(Backup, schedule.backup)
    return WantedSchedule(
        name=name,
        schedule={
            "schedule_type": schedule.when.type,
            "schedule_config": schedule.when.config(),
            **_columns(Columns, schedule),
            **{column: value for column, value in defaults.items() if getattr(schedule, column) is None},
        },
        template={**template, **sources.apart(template["sources"])},
    )


def _columns(model: type[Table], holder: object) -> dict[str, Any]:
    pairs = ((column, getattr(holder, column)) for column in model.model_fields)
    return {
        column: value.model_dump(exclude_none=True) if isinstance(value, Table) else value
        for column, value in pairs
    }


def shown(schedule: Mapping[str, Any], template: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The columns of a schedule in the form of the file: pairs of a dotted name and a value."""
    yield "when", {"type": schedule["schedule_type"].value, **schedule["schedule_config"]}
    yield from _written(Columns, schedule).items()
    whole = {**template, "sources": sources.together(template)}
    for name, value in _written(Backup, whole).items():
        yield f"backup.{name}", value


def _written(model: type[Table], columns: Mapping[str, Any]) -> dict[str, Any]:
    written = model.model_construct(**{column: columns[column] for column in model.model_fields})
    return written.model_dump(by_alias=True, warnings=False)


def json_schema() -> dict[str, Any]:
    """The rules of the file for editors (JSON Schema 2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tapeline's schedules",
        **_for_editors(File.model_json_schema()),
    }


def _for_editors(schema: Any) -> Any:
    """Without what pydantic adds for programs: titles, types of ``when`` by name, the default None."""
    if isinstance(schema, list):
        return [_for_editors(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _for_editors(value)
        for name, value in schema.items()
        if name not in {"title", "discriminator"} and (name, value) != ("default", None)
    }
