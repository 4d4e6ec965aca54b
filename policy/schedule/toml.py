"""A schedule as the TOML that ``tapeline schedule apply`` reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from policy.schedule.fields import Backup, Columns
from policy.schedule.table import Table

_ALWAYS = frozenset({"when", "time_zone", "drive", "backup.sources"})
"""Written although they may be left out: their defaults are settings, which differ from host to host."""


def document(schedules: Mapping[str, Iterable[tuple[str, Any]]]) -> str:
    """Schedules by name, each as ``policy.schedule.file.shown`` gives it. What is left out or has its default
    is not written."""
    return "\n".join(_table(name, dict(fields)) for name, fields in schedules.items())


def _table(name: str, fields: Mapping[str, Any]) -> str:
    wanted = {
        place: value
        for place, value in fields.items()
        if place in _ALWAYS or (value is not None and value != _DEFAULTS.get(place))
    }
    lines = [f"[schedules.{_key(name)}]"]
    lines += [f"{place} = {written(wanted[place])}" for place in wanted if not place.startswith("backup.")]
    lines += ["", f"[schedules.{_key(name)}.backup]"]
    lines += [
        f"{place.removeprefix('backup.')} = {written(wanted[place])}"
        for place in wanted
        if place.startswith("backup.")
    ]
    return "\n".join(lines) + "\n"


def _defaults(model: type[Table], prefix: str = "") -> dict[str, Any]:
    """In the form of the file."""
    return {
        prefix + (field.alias or name): field.get_default(call_default_factory=True)
        for name, field in model.model_fields.items()
        if not field.is_required()
    }


_DEFAULTS = {**_defaults(Columns), **_defaults(Backup, "backup.")}


def _key(name: str) -> str:
    is_bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if is_bare else _text(name)


def _text(text: str) -> str:
    """TOML's basic strings are JSON's, but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def written(value: Any) -> str:
    """A value in TOML, on one line."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return _text(value)
        case Mapping():
            inner = ", ".join(f"{_key(name)} = {written(each)}" for name, each in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case list():
            return f"[{', '.join(map(written, value))}]"
    return str(value)
