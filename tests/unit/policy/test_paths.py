"""The paths of a set as operators write them."""

from __future__ import annotations

import pytest

from policy.paths import as_stored


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("C:\\data\\资料", "/C:/data/资料"),
        ("C:/data", "/C:/data"),
        ("D:\\", "/D:/"),
        ("/C:/data", "/C:/data"),
        ("/data/a\\b", "/data/a\\b"),
        ("relative", "relative"),
    ],
)
def test_a_path_of_windows_is_found_as_it_is_stored(written: str, stored: str) -> None:
    """A path with a letter is turned; all others, also those with a backslash in a name, stay."""
    assert as_stored(written) == stored
