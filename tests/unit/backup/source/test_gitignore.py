"""Patterns leave out what git leaves out: compared with git itself."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup.gitignore import Patterns

PIECES = [
    b"*", b"**", b"***", b"?", b"/", b"//", b"**/", b"/**/", b"/**", b"a", b"b", b"ab", b".doc", b"-", b"]",
    b"[", b"[ab]", b"[!a]", b"[^b]", b"[]a]", b"[!]a]", b"[a-]", b"[a-c]", b"[c-a]", b"[\\]-a]", b"[a-\\]]",
    b"[[:alpha:]]", b"[[:space:]x]", b"[[:punct:]]", b"[[:no:]]", b"[[:]", b"[a/b]", b"[^/]", b"\\", b"\\*",
    b"\\/", b"\\a", b" ", b"  ", b"\\ ", b"!", b"#", b"\r", b"\t", b"\xff", b"\xc3\xa9", "文".encode(), b"^",
    b"$", b".", b"(", b"+", b"{a,b}",
]  # fmt: skip
"""What patterns and names are made of."""


def _is_name(name: bytes) -> bool:
    return not (
        b"/" in name or b"\0" in name or name in (b"", b".", b"..") or name.lower().startswith(b".git")
    )


plain = st.sampled_from([b"a", b"b", b"ab", b"x.doc", b"c", b"b.doc", b"a b", b"ab ", b"\xff"])
names = (
    plain
    | st.lists(st.sampled_from([*PIECES, b"\n", b"\x7f"]), min_size=1, max_size=3).map(b"".join)
    | st.binary(min_size=1, max_size=3)
).filter(_is_name)
trees = st.recursive(
    st.none(), lambda below: st.dictionaries(names, below, max_size=4), max_leaves=14
).filter(bool)
lines = (
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map(b"".join)
    | st.tuples(
        st.sampled_from([b"", b"!"]), st.sampled_from(PIECES), plain, st.sampled_from([b"", b"/", b"/*"])
    ).map(b"".join)
    | st.binary(min_size=1, max_size=6)
).filter(lambda line: b"\n" not in line and b"\0" not in line)
usual = st.sampled_from(
    [(b"*", b"!*/", b"!*.doc"), (b"/*", b"!/a", b"/a/*", b"!/a/b"), (b"**", b"!a", b"!a/**")]
)
patterns = st.lists(lines, min_size=1, max_size=5).map(tuple) | usual


ALONE = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "XDG_CONFIG_HOME": os.devnull}
"""Nobody's own file of patterns."""


@dataclass
class Git:
    """git, asked about a tree; a file of patterns is all that it has."""

    folder: Path

    def leaves_out(self, root: Path, patterns: tuple[bytes, ...], paths: list[bytes]) -> set[bytes]:
        (self.folder / "info").mkdir(exist_ok=True)
        (self.folder / "info" / "exclude").write_bytes(b"".join(line + b"\n" for line in patterns))
        done = subprocess.run(
            ["git", "check-ignore", "--no-index", "--stdin", "-z"],
            input=b"".join(b"./" + path + b"\0" for path in paths),
            cwd=root,
            env={**os.environ, **ALONE, "GIT_DIR": str(self.folder), "GIT_WORK_TREE": str(root)},
            capture_output=True,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        return {path.removeprefix(b"./") for path in done.stdout.split(b"\0")[:-1]}


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Git:
    if shutil.which("git") is None:
        pytest.skip("not installed here: git")
    folder = tmp_path_factory.mktemp("git")
    subprocess.run(["git", "init", "-q", "--bare", folder], check=True)
    subprocess.run(["git", "--git-dir", folder, "config", "core.bare", "false"], check=True)
    return Git(folder)


def grow(folder: bytes, tree: dict[bytes, dict[bytes, object] | None]) -> None:
    for name, below in tree.items():
        path = folder + b"/" + name
        if below is None:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        else:
            os.mkdir(path)  # noqa: PTH102 - bytes
            grow(path, below)  # type: ignore[arg-type]  # of the same kind


def walked(root: bytes, below: bytes = b"") -> Iterator[bytes]:
    """All paths of a tree, from its root."""
    for name in sorted(os.listdir(root + b"/" + below)):  # noqa: PTH208 - bytes
        path = below + name
        yield path
        if is_folder(root, path):
            yield from walked(root, path + b"/")


def is_folder(root: bytes, path: bytes) -> bool:
    return stat.S_ISDIR(os.lstat(root + b"/" + path).st_mode)


def left_out(root: bytes, rules: Patterns, path: bytes) -> bool:
    """Whether a walk from the root comes past none of the folders on the way, or not to the path itself."""
    parts = path.split(b"/")
    steps = [b"/".join(parts[: count + 1]) for count in range(len(parts))]
    return any(rules.leave_out(step, is_folder=is_folder(root, step)) for step in steps)


SHARP = [
    b"a/x**/b", b"**/b", b"**/", b"/**", b"a/**", b"a/**/b", b"a/**\\/b", b"a**b", b"***", b"a/*/b",
    b"a?b", b"a[/]b", b"a/[^x]", b"/a?b", b"a[^x]b", b"/a[^x]b", b"#a", b"\\#a", b"!a", b"\\!a", b"a\r",
    b"a ", b"a\\ ", b"a\\  ", b" a", b"[]a]", b"[!]a]", b"[^a]", b"[a-c]x", b"[a-c-e]x", b"[c-a]x",
    b"[-a]", b"[a-]", b"[a\\-c]x", b"[[:alpha:]]x", b"[b[:no:]]x", b"[[:]x", b"[[:alpha:]-z]x", b"[a",
    b"a\\", b"\\a", b"x.d*", b"*.doc", b"a/", b"/a", b"//a", b"a//", b"a/b", b"a/b/", b"?", b"??",
    b"\xff", b"\xff?", b"[\x80-\xff]", "文".encode(), b"?" * 3, b"*" * 2 + b"/x/**/b", b"a/x*b", b"*/b",
    b"/*/b", b"{a,b}", b"a.b", b"(a)",
]  # fmt: skip
"""Each is a corner of the syntax; the tree has names on both sides of it."""
CORNERS: dict[bytes, object] = {
    b"a": {b"b": None, b"xb": None, b"xy": {b"b": None, b"z": {b"b": None}}, b"x": {b"b": {b"c": None}},
    b"q": {b"b": None}}, b"#a": None, b"!a": None, b"a\r": None, b"a ": None, b" a": None, b"ab": None,
    b"a\nb": None, b"axb": None, b"]": None, b"-": None, b"[": None, b"[a": None, b"a\\": None,
    b"bx": None, b"-x": None, b"dx": None, b":x": None, b"[x": None, b"zx": None, b"x.doc": None,
    b"x.d": None, b"\xff": None, b"\xff\x80": None, "文".encode(): None, b"b": {b"b": None, b"a": None,
    b"x": {b"b": None}}, b"{a,b}": None, b"a.b": None, b"(a)": None, b"c": None, b"?": None,
}  # fmt: skip


@pytest.mark.parametrize(
    "around", [(b"%b",), (b"*", b"!%b"), (b"*", b"!*/", b"!%b"), (b"%b", b"!b")], ids=str
)
def test_each_corner_of_the_syntax_is_as_git_has_it(
    git: Git, tmp_path: Path, around: tuple[bytes, ...]
) -> None:
    """Every pattern by itself, and as the one that lets back in."""
    root = os.fsencode(tmp_path)
    grow(root, CORNERS)  # type: ignore[arg-type]  # of the same kind
    paths = list(walked(root))
    wrong = []
    for pattern in SHARP:
        patterns = tuple(line.replace(b"%b", pattern) for line in around)
        rules = Patterns(patterns)
        ours = {path for path in paths if left_out(root, rules, path)}
        theirs = git.leaves_out(tmp_path, patterns, paths)
        if ours != theirs:
            wrong.append((pattern, ours - theirs, theirs - ours))
    assert wrong == []


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(tree=trees, patterns=patterns)
def test_patterns_leave_out_what_git_leaves_out(
    git: Git, tmp_path_factory: pytest.TempPathFactory, tree: dict[bytes, object], patterns: tuple[bytes, ...]
) -> None:
    """Trees, names of any bytes and patterns at random: the same paths, folders too."""
    root = tmp_path_factory.mktemp("tree")
    grow(os.fsencode(root), tree)  # type: ignore[arg-type]  # as above
    paths = list(walked(os.fsencode(root)))
    rules = Patterns(patterns)
    ours = {path for path in paths if left_out(os.fsencode(root), rules, path)}
    assert ours == (git.leaves_out(root, patterns, paths) if paths else set())
    shutil.rmtree(root)


def test_patterns_that_let_back_in_keep_documents_at_any_depth() -> None:
    """All but documents, the usual idiom: folders are let back in, and what they hold is looked at."""
    rules = Patterns((b"*", b"!*/", b"!*.doc"))
    kept = [(b"a", True), (b"a/b", True), (b"top.doc", False), (b"a/b/two.doc", False)]
    assert [rules.leave_out(path, is_folder=folder) for path, folder in kept] == [False] * 4
    assert rules.leave_out(b"a/junk", is_folder=False)
