"""Reads a file of schedules: TOML or YAML, by its name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from policy.errors import UsageError
from policy.message import M


def load(path: Path) -> Any:
    """The contents of the file. Raises UsageError that names the file and, if it is known, the line."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(
            M("FILE: {path} is neither TOML nor YAML by its name.", path=str(path)),
            M("Name it *.toml, *.yaml or *.yml."),
        )
    try:
        return reader(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise UsageError(
            M("FILE: {path} cannot be read: {detail}.", path=str(path), detail=reason or _NOT_UTF_8),
            M("Name a text file in UTF-8 that you may read."),
        ) from error
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise UsageError(
            M("FILE: {path}: {detail}.", path=str(path), detail=_where(error)), M("Correct that line.")
        ) from error


_NOT_UTF_8 = M("it is not text in UTF-8").to_json()


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split()).rstrip(".")
    problem = getattr(error, "problem", None) or getattr(error, "context", None)
    return f"{problem} (line {mark.line + 1}, column {mark.column + 1})"


class _Loader(yaml.SafeLoader):
    """YAML as people write it: 22:30 is a time of day and not a number in base 60, no key comes twice."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in {"bool", "null", "merge"}
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile("[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789")
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    mapping: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str) or key in mapping:
            raise yaml.constructor.ConstructorError(
                None, None, f"'{key}' is no name, or stands here twice", key_node.start_mark
            )
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def _yaml(text: str) -> Any:
    return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader


_READERS: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".yaml": _yaml, ".yml": _yaml}
