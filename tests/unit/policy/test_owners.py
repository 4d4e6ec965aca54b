"""What --owner-map may be given, and what it is refused for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.errors import UsageError
from policy.owners import OwnerMap, Rule, parse

names = st.text("abcxyz019-_.$", min_size=1, max_size=9)


def test_users_groups_numbers_and_names() -> None:
    assert parse(["alice:bob,1001:1002", "@staff:@users", "names"]) == OwnerMap(
        (Rule("alice", "bob", False), Rule("1001", "1002", False), Rule("staff", "users", True)), by_name=True
    )
    assert parse([]) == OwnerMap()


maps = st.lists(st.tuples(names, names, st.booleans()), unique_by=lambda rule: (rule[0], rule[2]))


@given(maps, st.booleans())
def test_what_is_written_is_read_back(rules: list[tuple[str, str, bool]], by_name: bool) -> None:
    wanted = OwnerMap(tuple(Rule(*rule) for rule in rules), by_name)
    assert parse([",".join(wanted.words)] if wanted.words else []) == wanted


@pytest.mark.parametrize(
    "word",
    ["alice", "", ":bob", "alice:", "@staff:users", "staff:@users", "@:@", "a:b:c", "alice:@", "@@a:@b"],
)
def test_what_maps_no_owner_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="maps no owner"):
        parse([word])


def test_an_owner_has_one_new_owner() -> None:
    """A user and a group may have the same name."""
    with pytest.raises(UsageError, match="'alice' is mapped twice"):
        parse(["alice:bob", "alice:eve"])
    with pytest.raises(UsageError, match="'@alice' is mapped twice"):
        parse(["alice:bob,@alice:@bob", "@alice:@eve"])
