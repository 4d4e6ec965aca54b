"""Restored files belong to whom the map names, by this host's users and groups."""

from __future__ import annotations

import pwd
import sys

import pytest

from backup.entry import Entry, FileType
from backup.restoring import metadata
from backup.restoring.owners import HIGHEST, Owners, OwnersUnknown
from policy.owners import OwnerMap, parse

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners are numbers of other systems")


@pytest.fixture(autouse=True)
def _may_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "may_own", lambda: True)


def entry(uname: str = "alice", gname: str = "staff") -> Entry:
    return Entry("/a", FileType.FILE, 0, 0, 0, 0, 1, 0o644, 4001, 4002, uname, gname)


def mapped(*words: str, **names: str) -> tuple[int, int]:
    found = Owners(parse(words)).of(entry(**names))
    return found.uid, found.gid


ROOT = pwd.getpwuid(0).pw_name


@pytest.mark.parametrize(("words", "owner"), [
    ((), (4001, 4002)),
    (("alice:5001",), (5001, 4002)),
    (("4001:5001",), (5001, 4002)),
    (("@staff:@5002",), (4001, 5002)),
    (("@4002:@5002", "4001:5001"), (5001, 5002)),
    (("staff:5001", "@alice:@5002"), (4001, 4002)),
    ((f"alice:{ROOT}",), (0, 4002)),
    (("eve:5001",), (4001, 4002)),
])  # fmt: skip
def test_the_rule_that_names_it_counts(words: tuple[str, ...], owner: tuple[int, int]) -> None:
    """By its name or its number; a user's rule is none for a group."""
    assert mapped(*words) == owner


def test_by_name_it_belongs_to_whoever_has_the_name_here() -> None:
    """Its number stays where nobody has the name; a rule counts before the name."""
    assert mapped("names", uname=ROOT, gname="nobody-has-this") == (0, 4002)
    assert mapped("names", uname="", gname="") == (4001, 4002)
    assert mapped("names", f"{ROOT}:5001", uname=ROOT, gname="") == (5001, 4002)


def test_a_rule_of_the_name_counts_before_one_of_the_number() -> None:
    assert mapped("4001:1,alice:2") == (2, 4002)


@pytest.mark.parametrize("to", ["nobody-has-this", str(HIGHEST + 1), "-1", "1.5", "²"])
def test_who_is_nobody_here_is_refused_before_anything_is_written(to: str) -> None:
    with pytest.raises(OwnersUnknown, match="no user or group"):
        mapped(f"alice:{to}")


def test_without_the_right_to_give_files_away_a_map_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore without a map is none of its business."""
    monkeypatch.setattr(metadata, "may_own", lambda: False)
    with pytest.raises(OwnersUnknown, match="Only root"):
        mapped("names")
    assert mapped() == (4001, 4002)
    assert Owners(OwnerMap()).of(entry()) == entry()
