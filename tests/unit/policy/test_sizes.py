"""Sizes as people write them."""

from __future__ import annotations

import re

import pytest

from policy import units


@pytest.mark.parametrize(
    ("text_", "size"),
    [("500", 500), ("1.5 GB", 15 * 10**8), ("4GiB", 4 << 30), ("10 kb", 10_000), (" 2 TB ", 2 * 10**12)],
)
def test_a_size_is_read_as_people_write_it(text_: str, size: int) -> None:
    assert units.read_size(text_) == size


@pytest.mark.parametrize("text_", ["", "big", "-1", "1,5 GB", "1 XB", "1e9", "1.5.5 GB", "9" * 30])
def test_what_is_no_size_is_none(text_: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text_)}$"):
        units.read_size(text_)
