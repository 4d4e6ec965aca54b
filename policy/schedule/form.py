"""A schedule as a form: its fields are those that editors of the file know; and texts as values."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from policy.message import Message
from policy.schedule import toml
from policy.schedule.file import json_schema


@dataclass(frozen=True, slots=True)
class FieldText:
    """What a field is for."""

    text: Message
    types: tuple[str, ...] = ()
    """Of ``when``: the types for which it is that; empty: all."""


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of the form."""

    place: str
    """Its path below the schedule: ``backup.retention_days``."""
    texts: tuple[FieldText, ...]
    """What it is for; of ``when``, one for each meaning that it has."""
    schema: Mapping[str, Any]
    """The rule for its value, as JSON Schema."""
    is_needed: bool
    types: tuple[str, ...] = ()
    """Of ``when``: the types that have it; empty: all."""

    @property
    def table(self) -> str:
        """The path of the table that it is in."""
        return self.place.rpartition(".")[0]

    @property
    def name(self) -> str:
        """Its name in that table."""
        return self.place.rpartition(".")[2]

    @property
    def choices(self) -> list[str]:
        """All values that it may have; empty if there are too many to choose from."""
        if self.schema.get("type") == "boolean":
            return ["true", "false"]
        return [str(each) for each in self.schema.get("enum", ())]

    @property
    def suggestions(self) -> list[str]:
        """Some of its values, of which others are patterns or numbers."""
        return [each for rule in self.schema.get("anyOf", ()) for each in rule.get("enum", ())]

    @property
    def is_list(self) -> bool:
        return self.schema.get("type") == "array"

    @property
    def default(self) -> str:
        """What it is if it is left out, as a text of the form; empty if it then has no value."""
        return text_of(self.schema.get("default"))

    def value(self, text: str) -> Any:
        """The value of the file for a text of the form; None if it is left out. A text that is no value of
        its kind stays as it is, and the reader of the file refuses it."""
        if self.is_list:
            lines = text.replace("\r", "").split("\n")
            return [_element(line) for line in lines if line.strip()] or None
        text = text.strip()
        if not text:
            return None
        if self.schema.get("type") == "boolean":
            return {"true": True, "false": False}.get(text, text)
        rules = (self.schema, *self.schema.get("anyOf", ()))
        if any(rule.get("type") == "integer" for rule in rules) and re.fullmatch("-?[0-9]{1,18}", text):
            return int(text)
        return text


def _element(line: str) -> Any:
    """A line of a list; one in braces is a table of TOML, one in quotes a text of TOML."""
    if line.lstrip().startswith(("{", '"')):
        try:
            return tomllib.loads(f"x = {line.strip()}")["x"]
        except tomllib.TOMLDecodeError:
            return line
    return line


def text_of(value: Any) -> str:
    """A value of the file as a text of the form."""
    match value:
        case None:
            return ""
        case str():
            return value
        case list():
            return "\n".join(each if _is_a_line(each) else toml.written(each) for each in value)
        case Mapping() if not value:
            return ""
    return toml.written(value)


def _is_a_line(element: Any) -> bool:
    """Whether it comes back from a browser as it is."""
    is_text = isinstance(element, str) and element == element.strip() and element.isprintable()
    return is_text and not element.startswith(("{", '"'))


@cache
def fields() -> tuple[FormField, ...]:
    """Every field of a schedule: ``when``, then what is backed up, then the rest."""
    rules = json_schema()["$defs"]
    found = [*_when(rules), *_of_table(rules, "Backup", "backup."), *_of_table(rules, "Schedule", "")]
    return tuple(found)


def _of_table(rules: Mapping[str, Any], table: str, prefix: str) -> Iterator[FormField]:
    needed = rules[table].get("required", ())
    inner = []
    for name, rule in rules[table]["properties"].items():
        if "$ref" in rule and prefix:
            inner.append((rule["$ref"].rpartition("/")[2], f"{prefix}{name}."))
        elif "$ref" not in rule and "oneOf" not in rule:
            yield FormField(prefix + name, _texts(rule), rule, name in needed)
    for other, place in inner:
        yield from _of_table(rules, other, place)


def _when(rules: Mapping[str, Any]) -> Iterator[FormField]:
    """The fields of all types of ``when``, each once."""
    rule = rules["Schedule"]["properties"]["when"]
    tables = [rules[each["$ref"].rpartition("/")[2]] for each in rule["oneOf"]]
    types = [table["properties"]["type"]["const"] for table in tables]
    yield FormField("when.type", _texts(rule), {"enum": types}, is_needed=True)
    merged: dict[str, FormField] = {}
    for table, type_ in zip(tables, types, strict=True):
        for name, inner in table["properties"].items():
            if name == "type":
                continue
            field = merged.setdefault(name, FormField(f"when.{name}", (), inner, is_needed=False))
            texts = {each.text.id: each.types for each in field.texts}
            for each in _texts(inner):
                texts[each.text.id] = (*texts.get(each.text.id, ()), type_)
            kinds = [*field.schema.get("anyOf", (field.schema,)), *inner.get("anyOf", (inner,))]
            # Which of several kinds of values is meant, only the reader knows.
            schema = field.schema if field.schema == inner else {"anyOf": kinds}
            merged[name] = replace(
                field,
                texts=tuple(FieldText(Message(id_), of) for id_, of in texts.items()),
                schema=schema,
                types=(*field.types, type_),
            )
    yield from merged.values()


def _texts(rule: Mapping[str, Any]) -> tuple[FieldText, ...]:
    text = rule.get("description")
    return (FieldText(Message(" ".join(text.split()))),) if text else ()


def document(name: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """The texts of a form, by field, as a file with one schedule."""
    table: dict[str, Any] = {"when": {}, "backup": {}}
    for field in fields():
        value = field.value(texts.get(field.place, ""))
        if value is not None:
            inner = table
            for part in filter(None, field.table.split(".")):
                inner = inner.setdefault(part, {})
            inner[field.name] = value
    return {"schedules": {name: table}}


def texts(shown: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """A schedule, as ``policy.schedule.file.shown`` gives it, as the texts of a form."""
    values = dict(_flat(shown))
    return {field.place: text_of(values.get(field.place)) for field in fields()}


def _flat(shown: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name, value in shown:
        if isinstance(value, Mapping):
            yield from _flat((f"{name}.{inner}", each) for inner, each in value.items())
        else:
            yield name, value
