"""Comparing two trees: what was left out on purpose is passed over, and nothing else."""

from __future__ import annotations

from pathlib import Path

from backup.compare import compare_trees


def test_what_was_left_out_is_passed_over_with_all_below_it(tmp_path: Path) -> None:
    """A folder that could not be read, and a file, are missing without a word; their neighbours are not."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here / "secret" / "deep", here / "open", there):
        folder.mkdir(parents=True)
    (here / "secret" / "deep" / "file").write_text("x")
    (here / "open" / "file").write_text("x")
    (here / "gone").write_text("x")
    left_out = ["secret", "gone"]
    found = {(d.path, d.what) for d in compare_trees(here, there, left_out=left_out)}
    assert ("open", "missing") in found
    assert ("open/file", "missing") in found
    assert not [path for path, _ in found if path.startswith(("secret", "gone"))]
    (there / "secret").mkdir()
    assert not [d for d in compare_trees(here, there, left_out=left_out) if d.path.startswith("secret")]
