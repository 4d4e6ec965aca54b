"""Checks whether the catalogues match the program: ``python -m notify.catalogue``."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from string import Formatter

from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from notify import words
from policy.schedule import form

PACKAGES = ("backup", "celery_app", "cli", "dashboard", "db", "embedded", "notify", "policy", "tape", "tasks")
TRANSLATED = "zh_CN"
"""This catalogue must have every text; the English one only has texts whose plural or wording differs."""
LANGUAGES = (TRANSLATED, "en")

_ROOT = Path(__file__).parent.parent


def in_program() -> set[str]:
    """The text of every ``M("...")`` of the program, and what the fields of a schedule are for."""
    described = {each.text.id for field in form.fields() for each in field.texts}
    return described | {
        text
        for package in PACKAGES
        for path in sorted((_ROOT / package).rglob("*"))
        if path.suffix in _READERS
        for text in _READERS[path.suffix](path.read_text(encoding="utf-8"))
    }


def texts(source: str) -> Iterator[str]:
    """The text of every ``M("...")`` of a Python source."""
    # Babel's own reader of Python misses a call of M among the arguments of another.
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id="M"), args=[ast.Constant(value=str(text)), *_]) if text:
                yield text


_IN_PAGE = re.compile(r"""\bM\((["'])(.+?)\1""")


def texts_of_page(source: str) -> Iterator[str]:
    """The text of every ``M("...")`` of a page's template."""
    return (match[2] for match in _IN_PAGE.finditer(source))


_READERS = {".py": texts, ".html": texts_of_page}


def missing() -> list[str]:
    """Texts of the program that have no Chinese translation, sorted."""
    return sorted(in_program() - _translated(TRANSLATED).keys())


def stale(language: str) -> list[str]:
    """Ids of a catalogue that the program no longer has, sorted."""
    return sorted(_translated(language).keys() - in_program())


def broken(language: str) -> list[str]:
    """Ids whose translation has other ``{fields}`` than the English text, sorted."""
    return sorted(
        text for text, translation in _translated(language).items() if fields(text) != fields(translation)
    )


def fields(text: str) -> set[str] | None:
    """The names of the ``{fields}`` of a text; None if it is not a format at all."""
    try:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    except ValueError:
        return None


def report() -> Iterator[str]:
    """What is wrong with the catalogues: missing texts as entries to paste, then stale and broken ids."""
    if entries := missing():
        yield _as_entries(entries)
    for language in LANGUAGES:
        yield from (f"{language}: stale: {text}\n" for text in stale(language))
        yield from (f"{language}: other fields: {text}\n" for text in broken(language))


def _translated(language: str) -> dict[str, str]:
    return {
        str(entry.id): str(entry.string)
        for entry in words.catalogue(language)
        if entry.id and entry.string and not entry.fuzzy
    }


def _as_entries(texts: list[str]) -> str:
    entries = Catalog()
    for text in texts:
        entries.add(text)
    out = BytesIO()
    write_po(out, entries, width=0, omit_header=True)
    return out.getvalue().decode()


if __name__ == "__main__":
    problems = list(report())
    sys.stdout.writelines(problems)
    sys.exit(1 if problems else 0)
