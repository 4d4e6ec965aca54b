"""What the docs name exists: files, modules and what is in them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = "|".join(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0].isalpha())
PACKAGES = "|".join(path.parent.name for path in ROOT.glob("*/__init__.py"))
PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if page.name != "CHANGELOG.md"  # it names what was there
)
PATH = re.compile(rf"`((?:{ROOMS})/[\w./-]*)`")
DOTTED = re.compile(rf"`((?:{PACKAGES})\.(?!js`)\w+(?:\.\w+)*)(?:\(\))?`")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")


def found(pattern: re.Pattern[str]) -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for match in pattern.finditer(page.read_text("utf-8")):
            yield page, match[1]


def missing_of(name: str) -> bool:
    """Whether a dotted name is no module, nor something in one, nor in a class of one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            thing: object = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if not hasattr(thing, part):
                return part not in getattr(thing, "__annotations__", ())
            thing = getattr(thing, part)
        return False
    return True


def is_there(path: str) -> bool:
    """Tables of tests name them below tests/; a file that operators make has an example beside it."""
    return any(place.exists() for place in (ROOT / path, ROOT / "tests" / path, ROOT / f"{path}.example"))


def test_each_path_that_the_docs_name_exists() -> None:
    named = set(found(PATH))
    assert len(named) > 40
    assert [(page.name, path) for page, path in sorted(named) if not is_there(path)] == []


def test_each_module_that_the_docs_name_exists() -> None:
    named = set(found(DOTTED))
    assert len(named) > 20
    assert [(page.name, name) for page, name in sorted(named) if missing_of(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_link_leads_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
