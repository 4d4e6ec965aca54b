"""Where a host allows restores into."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup.restoring.roots import NotAllowedHere, allowed


def test_only_below_a_root_that_the_host_names(tmp_path: Path) -> None:
    """No neighbour with a longer name, nothing through a link or dots; the folder need not exist yet."""
    root = tmp_path / "restore"
    root.mkdir()
    (tmp_path / "restored").mkdir()
    (root / "out").symlink_to(tmp_path / "restored")
    (tmp_path / "in").symlink_to(root)
    assert allowed(root, [root]) == root
    assert allowed(root / "new" / "deep", [tmp_path / "other", root]) == root / "new" / "deep"
    assert allowed(tmp_path / "in" / "x", [root]) == root / "x"
    for outside in (tmp_path, tmp_path / "restored", root / "out" / "x", root / ".." / "restored", Path("/")):
        with pytest.raises(NotAllowedHere, match="restore_roots"):
            allowed(outside, [root])


def test_a_host_that_names_none_allows_any_by_command_and_none_from_a_page(tmp_path: Path) -> None:
    assert allowed(tmp_path, []) == tmp_path
    with pytest.raises(NotAllowedHere):
        allowed(tmp_path, [], always=True)
