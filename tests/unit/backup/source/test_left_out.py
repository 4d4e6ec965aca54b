"""What a system has of each file and no backup stores is shown, with how many files that concerns."""

from __future__ import annotations

import pytest

from backup.source import xattrs


@pytest.mark.parametrize(("platform", "names"), [
    ("win32", ["1234 files", "NTFS permissions (ACLs) and alternate streams"]),
    ("darwin", ["1234 files", "extended attributes and ACLs"]),
])  # fmt: skip
def test_it_is_counted(platform: str, names: list[str]) -> None:
    left_out = xattrs.left_out(1234, platform)
    assert left_out is not None
    assert all(name in str(left_out) for name in names), str(left_out)


def test_linux_leaves_nothing_out() -> None:
    assert xattrs.left_out(1234, "linux") is None
