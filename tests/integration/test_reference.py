"""The pages of docs/ that are made from the code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import reference

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("name", "page"), reference.PAGES.items())
def test_the_page_is_what_the_code_says(name: str, page: Callable[[], str]) -> None:
    """A setting or an option that was changed has its page made anew, by `make reference`."""
    assert (DOCS / name).read_text(encoding="utf-8") == page(), f"docs/{name} is stale: make reference"


def test_every_setting_has_its_meaning() -> None:
    """No row of the page is without a text, and none tells of this machine."""
    page = reference.settings_page()
    assert re.findall(r"^.*\|  \|$", page, re.MULTILINE) == []
    assert str(reference.ROOT) not in page
    assert str(Path.home()) not in page.replace("~", "")
