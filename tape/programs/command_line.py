"""A command line from the settings: words with ``{names}``, filled in without any shell."""

from __future__ import annotations

import re
from collections.abc import Sequence

from policy.message import M
from tape.errors import DriveMisconfigured

_NAME = re.compile(r"\{([a-z_]+)\}")
# Characters that no label, serial or letter has, and that could end one word of a command line and begin
# another.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\"'`$%^&|<>;]")


def fill(template: Sequence[str], **values: str | None) -> list[str]:
    """The words of a command; a word that names a value that is None is left out.

    Raises DriveMisconfigured for a name without a value, and for a value that is no plain text.
    """
    words = (_filled(word, values) for word in template)
    return [word for word in words if word is not None]


def names(template: Sequence[str]) -> set[str]:
    """The names in a template."""
    return {name for word in template for name in _NAME.findall(word)}


def plain(value: str) -> str:
    """A value that cannot be read as an option, nor as more than one word. Raises DriveMisconfigured."""
    if not value or value.startswith("-") or _FORBIDDEN.search(value):
        raise DriveMisconfigured(
            M("'{value}' cannot be given to a program.", value=value),
            M("Use letters, digits and the characters _ . and -, not beginning with a dash."),
        )
    return value


def _filled(word: str, values: dict[str, str | None]) -> str | None:
    for name in _NAME.findall(word):
        if name not in values:
            raise DriveMisconfigured(
                M("The command line '{word}' names {name}, which there is not.", word=word, name=name),
                M("There are: {names}.", names=", ".join(sorted(values))),
            )
        value = values[name]
        if value is None:
            return None
        word = word.replace(f"{{{name}}}", plain(value))
    return word
