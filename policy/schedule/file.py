"""The file of schedules: its contents, and its JSON Schema, both from the table of fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policy.errors import UsageError
from policy.message import M
from policy.schedule import fields, when
from policy.schedule.fields import Field
from policy.times.period import ScheduleType


@dataclass(frozen=True, slots=True)
class Wanted:
    """A schedule from the file, as values of columns."""

    name: str
    schedule: dict[str, Any]
    template: dict[str, Any]


def read(document: Any, defaults: Mapping[str, Any]) -> list[Wanted]:
    """The schedules of a file. ``defaults``: for fields whose default is a setting.

    Raises UsageError that names the first field that is wrong.
    """
    # An empty file of YAML is nothing, one of TOML an empty table.
    table = fields.as_table({} if document is None else document, "file")
    for name in table:
        if name != "schedules":
            raise fields.unknown(str(name), str(name), ["schedules"])
    if "schedules" not in table:
        raise UsageError(
            M("The file names no schedules."),
            M("Begin with [schedules.NAME] in TOML, 'schedules:' in YAML; see docs/schedules.example.toml."),
        )
    found = fields.as_table(table["schedules"], "schedules")
    return [_schedule(name, given, defaults) for name, given in found.items()]


def _schedule(name: Any, given: Any, defaults: Mapping[str, Any]) -> Wanted:
    fields.value_of(fields.NAME, name, "schedules")
    where = f"schedules.{name}"
    table = dict(fields.as_table(given, where))
    parts = {}
    for part in ("when", "backup"):
        if part not in table:
            raise UsageError(
                M("{where}: '{field}' is missing.", where=where, field=part),
                M("docs/schedules.example.toml shows one."),
            )
        parts[part] = table.pop(part)
    for field in table:
        if field not in {each.name for each in fields.SCHEDULE}:
            raise fields.unknown(
                f"{where}.{field}",
                str(field),
                sorted(["when", "backup", *(each.name for each in fields.SCHEDULE)]),
            )
    schedule_type, config = when.read(parts["when"], f"{where}.when")
    return Wanted(
        name=name,
        schedule={
            "schedule_type": schedule_type,
            "schedule_config": config,
            **_columns(fields.SCHEDULE, table, where, defaults),
        },
        template=_columns(fields.BACKUP, parts["backup"], f"{where}.backup", {}),
    )


def _columns(table: tuple[Field, ...], given: Any, where: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    found = fields.read(table, given, where, defaults)
    return {field.stored_as: found[field.name] for field in table}


def shown(schedule: Mapping[str, Any], template: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The columns of a schedule in the form of the file: pairs of a dotted name and a value."""
    yield "when", {"type": schedule["schedule_type"].value, **schedule["schedule_config"]}
    for field in fields.SCHEDULE:
        yield field.name, field.show(schedule[field.stored_as])
    for field in fields.BACKUP:
        yield f"backup.{field.name}", field.show(template[field.stored_as])


def json_schema() -> dict[str, Any]:
    """The rules of the file for editors (JSON Schema 2020-12)."""
    one = _table(
        fields.SCHEDULE,
        {
            "when": {"description": "When it runs.", "oneOf": [_when(each) for each in ScheduleType]},
            "backup": {"description": "What it backs up, and how.", **_table(fields.BACKUP, {})},
        },
        optional={"time_zone", "drive"},
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tapeline's schedules",
        **_object(
            {
                "schedules": {
                    "description": "The schedules, by name.",
                    "type": "object",
                    "propertyNames": fields.NAME.schema,
                    "additionalProperties": one,
                }
            },
            ["schedules"],
        ),
    }


def _when(schedule_type: ScheduleType) -> dict[str, Any]:
    return _table(fields.WHEN[schedule_type], {"type": {"const": schedule_type.value}})


def _table(
    table: tuple[Field, ...], more: dict[str, Any], optional: frozenset[str] | set[str] = frozenset()
) -> dict[str, Any]:
    required = [
        field.name for field in table if field.default is fields.REQUIRED and field.name not in optional
    ]
    return _object({**more, **{field.name: _property(field) for field in table}}, [*more, *required])


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _property(field: Field) -> dict[str, Any]:
    has_default = field.default is not fields.REQUIRED and field.default is not None
    shown_default = {"default": field.show(field.default)} if has_default else {}
    return {"description": field.doc, **shown_default, **field.kind.schema}
