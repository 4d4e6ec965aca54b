"""What an operator leaves out of a backup."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from backup.errors import BadRequest
from backup.request import Excludes

SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55\n# made by a test\n"


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def stored(rig: Any, **rules: Any) -> set[str]:
    """What a backup with these rules holds, below the source."""
    rig.back_up(excludes=Excludes(**rules))
    return set(rig.entries()) - {""}


def test_patterns_leave_out_exactly_what_git_ignores(rig: Any) -> None:
    """The same patterns, given to git and to a backup, leave the same files."""
    names = (
        "a.tmp", "keep.tmp", "d/a.tmp", "d/keep.tmp", "cache/x", "d/cache/x", "build/out", "d/build/out",
        "文件/数据.bak", "logs/2026/a.log", "logs/b.log", "odd name", "#hash", "x/y/z/deep.o",
        "node_modules/m/i.js", "d/node_modules/i.js",
    )  # fmt: skip
    patterns = (
        "*.tmp", "!keep.tmp", "/cache/", "d/build", "**/*.bak", "logs/**/a.log", "odd\\ name", "\\#hash",
        "x/**/deep.o", "node_modules/",
    )  # fmt: skip
    make(rig.source, *names)
    found = stored(rig, patterns=patterns)
    kept = {name for name in names if name in found}
    repository = rig.source
    subprocess.run(["git", "init", "-q", repository], check=True)
    (repository / ".git" / "info" / "exclude").write_text("\n".join(patterns))
    asked = ["git", "-C", str(repository), "ls-files", "--others", "--exclude-standard", "-z"]
    said = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    assert kept == set(said.rstrip("\0").split("\0"))


def test_patterns_may_let_back_in_at_any_depth(rig: Any) -> None:
    """All but documents: their folders are walked, and nothing else is stored."""
    make(rig.source, "top.doc", "a/one.doc", "a/junk", "a/b/two.doc", "c/junk")
    found = stored(rig, patterns=("*", "!*/", "!*.doc"))
    assert found == {"top.doc", "a", "a/one.doc", "a/b", "a/b/two.doc", "c"}


def test_an_excluded_folder_is_not_even_looked_into(rig: Any) -> None:
    """Nothing below it is stored, nothing is a warning, and it counts once."""
    make(rig.source, "out/a", "out/b", "in/a")
    assert stored(rig, patterns=("out",)) == {"in", "in/a"}
    assert rig.log.left_out == 1
    assert rig.log.warnings == []


def test_names_that_are_not_utf8_can_be_left_out(rig: Any) -> None:
    """A pattern matches bytes of any kind."""
    Path(os.fsdecode(os.fsencode(rig.source) + b"/\xff.tmp")).write_text("x")
    make(rig.source, "kept")
    assert stored(rig, patterns=("*.tmp",)) == {"kept"}


def test_a_tagged_cache_keeps_its_tag_alone(rig: Any) -> None:
    """A folder with a valid CACHEDIR.TAG is stored empty but for the tag; the name alone makes no tag."""
    make(rig.source, "cache/big", "mine/big")
    (rig.source / "cache" / "CACHEDIR.TAG").write_text(SIGNATURE)
    (rig.source / "mine" / "CACHEDIR.TAG").write_text("no signature")
    assert stored(rig, caches=True) == {
        "cache", "cache/CACHEDIR.TAG", "mine", "mine/big", "mine/CACHEDIR.TAG",
    }  # fmt: skip


def test_without_the_rule_a_cache_is_stored(rig: Any) -> None:
    """Nothing is left out that nobody asked to leave out."""
    make(rig.source, "cache/big")
    (rig.source / "cache" / "CACHEDIR.TAG").write_text(SIGNATURE)
    assert "cache/big" in stored(rig)


def test_other_file_systems_are_left_out(rig: Any) -> None:
    """Of a source that holds a mount point, the mount point is stored and what is in it is not."""
    if os.stat("/proc").st_dev == os.stat("/").st_dev:  # noqa: PTH116 - what is a mount point here
        pytest.skip("/proc is no file system of its own here")
    excluded = ("/*", "!/proc", "/proc/self/task")
    rig.back_up(sources=("/",), excludes=Excludes(patterns=excluded, one_file_system=True))
    assert [entry.path for entry in rig.log.entries] == ["/", "/proc"]


def test_large_and_old_files_are_left_out(rig: Any) -> None:
    """By size and by the time of the last change; folders stay."""
    make(rig.source, "small", "old")
    (rig.source / "large").write_bytes(bytes(1000))
    (rig.source / "folder").mkdir()
    os.utime(rig.source / "old", ns=(0, 10**18))
    os.utime(rig.source / "folder", ns=(0, 10**18))
    assert stored(rig, max_bytes=999, older_than_ns=10**18 + 1) == {"small", "folder"}
    assert rig.log.left_out == 2


@pytest.mark.parametrize("pattern", ["!", "\\", "ends with\\", "[a", "[[:letters:]]"])
def test_a_pattern_that_git_would_not_understand_is_named(pattern: str) -> None:
    """The error names the field, the pattern and how to write one."""
    with pytest.raises(BadRequest, match="excludes") as caught:
        Excludes(patterns=("*.ok", pattern))
    assert caught.value.exit_code == 2
    assert "gitignore" in str(caught.value.remedy)
