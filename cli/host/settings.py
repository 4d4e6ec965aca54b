"""``tapeline settings``: the settings of this host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from celery_app import settings as source
from cli.render import output
from cli.render.output import AsJson
from policy.message import M


def settings(as_json: AsJson = False) -> None:
    """Print the settings of this host, from environment, file and defaults; secrets stay hidden."""
    values = source.load().model_dump(mode="json")
    if as_json:
        output.print_json(values)
        return
    file = source.config_file()
    output.say(M("File: {path}", path=str(file.absolute())) if file else M("No settings file was found."))
    output.print_table([M("Setting"), M("Value")], _flat(values), empty=M("No settings file was found."))


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Each setting with the names of its tables."""
    for name, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, _shown(value)


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(map(str, value)) or None
    return str(value).lower() if isinstance(value, bool) else value or (None if value in ({}, "") else value)
