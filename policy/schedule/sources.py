"""The sources of a backup in the file: folders, folders with options of their own, and dumps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from policy import detection
from policy.message import M
from policy.schedule.values import COMMAND, FOLDER, ValueKind, WrongValue, choice, text

DUMP_NAME = "[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
_DUMP = {
    "type": "object",
    "properties": {
        "command": {"type": "string", "pattern": f"^(?:{COMMAND})$"},
        "name": {"type": "string", "pattern": f"^(?:{DUMP_NAME})$"},
        "optional": {"type": "boolean"},
    },
    "required": ["command", "name"],
    "additionalProperties": False,
}

SNAPSHOTS = ("lvm", "btrfs", "zfs", "vss")
"""The kinds of snapshots that Tapeline makes by itself; every other name is that of a command of the host."""
_SNAPSHOT = text(
    COMMAND, M("snapshot: write lvm, btrfs, zfs or vss, or the name of a command of the drive's host.")
)
_SNAPSHOT_SIZE = text(
    r"[1-9][0-9]?%|100%|[1-9][0-9]{0,5}(MB|GB|TB|MiB|GiB|TiB)",
    M('snapshot_size: write a part of the volume such as "20%", or a size with its unit such as "50GB".'),
)

OPTIONS: Mapping[str, ValueKind] = {
    "snapshot": _SNAPSHOT,
    "snapshot_size": _SNAPSHOT_SIZE,
    "detect": choice(
        detection.CHOICES, M("detect: write one of: {values}.", values=", ".join(detection.CHOICES))
    ),
}
"""What the table of one folder may have beside its ``path``; each refuses a value by its own remedy."""

_FOLDER = {"type": "string", "pattern": f"^(?:{FOLDER})$", "minLength": 1}
_WITH_OPTIONS = {
    "type": "object",
    "properties": {"path": _FOLDER, **{name: kind.schema for name, kind in OPTIONS.items()}},
    "required": ["path"],
    "additionalProperties": False,
}


def _sources(value: Any) -> list[str | dict[str, Any]]:
    """Folders as texts, or as tables if they have options; dumps as tables."""
    found = [_source(each) for each in value] if isinstance(value, list) else []
    places = [each if isinstance(each, str) else each.get("path") or each["name"] for each in found]
    if not found or len(set(places)) < len(places):
        raise WrongValue(_A_SOURCE)
    return found


def _source(value: Any) -> str | dict[str, Any]:
    if isinstance(value, str) and re.fullmatch(FOLDER, value):
        return value
    if isinstance(value, dict):
        if "path" in value:
            return _folder(value)
        if "command" in value:
            return _dump(value)
    raise WrongValue(_A_SOURCE)


def _folder(value: dict[str, Any]) -> str | dict[str, Any]:
    """One without options is a text again."""
    path, options = value["path"], {name: each for name, each in value.items() if name != "path"}
    if not (isinstance(path, str) and re.fullmatch(FOLDER, path)):
        raise WrongValue(_A_SOURCE)
    _refuse_unknown(options, ("path", *OPTIONS))
    read = {name: OPTIONS[name].read(each) for name, each in options.items()}
    if "snapshot_size" in read and read.get("snapshot") != "lvm":
        raise WrongValue(M('snapshot_size: only a snapshot of kind "lvm" has one; leave it out.'))
    return {"path": path, **read} if read else path


def _dump(value: dict[str, Any]) -> dict[str, Any]:
    _refuse_unknown(value, ("command", "name", "optional"))
    command, name, optional = value.get("command"), value.get("name"), value.get("optional", False)
    if not (isinstance(command, str) and re.fullmatch(COMMAND, command)) or not isinstance(optional, bool):
        raise WrongValue(_A_SOURCE)
    if not (isinstance(name, str) and re.fullmatch(DUMP_NAME, name)):
        raise WrongValue(_A_SOURCE)
    return {"command": command, "name": name, **({"optional": True} if optional else {})}


def _refuse_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    """Raises WrongValue for a field that a source of this kind does not have."""
    for name in given:
        if name not in known:
            raise WrongValue(
                M(
                    "{field}: a source has no such field; write one of: {values}.",
                    field=str(name),
                    values=", ".join(known),
                )
            )


_A_SOURCE = M(
    "Write a list of folders with their whole paths, as the drive's host sees them, and of dumps such as"
    ' {{ command = "dump-accounts", name = "accounts.sql" }}, each once.'
)
SOURCES = ValueKind(
    _sources,
    {
        "type": "array",
        "items": {"anyOf": [_FOLDER, _WITH_OPTIONS, _DUMP]},
        "minItems": 1,
        "uniqueItems": True,
    },
)


def apart(sources: list[str | dict[str, Any]]) -> dict[str, Any]:
    """The columns of a template that ``sources`` becomes."""
    dumps = [each for each in sources if isinstance(each, dict) and "command" in each]
    folders = [each for each in sources if each not in dumps]
    return {
        "sources": [each if isinstance(each, str) else each["path"] for each in folders],
        "source_options": {
            each["path"]: {name: each[name] for name in OPTIONS if name in each}
            for each in folders
            if isinstance(each, dict)
        },
        "dumps": dumps,
    }


def together(columns: Mapping[str, Any]) -> list[str | dict[str, Any]]:
    """The same columns in the form of the file."""
    options = columns.get("source_options") or {}
    folders = [{"path": path, **options[path]} if path in options else path for path in columns["sources"]]
    return [*folders, *columns.get("dumps", ())]


COLUMNS = ("sources", "source_options", "dumps")
"""The columns that ``together`` reads."""
