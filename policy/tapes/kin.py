"""Which sets need which: each set combined with the sets that follow it, however long the chains are."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from policy.tapes.facts import SetFacts

FULL = "full"


def joined(sets: Iterable[SetFacts], parents: Mapping[str, str | None]) -> dict[str, SetFacts]:
    """Sets with all that follow them, by id, from single sets.

    ``parents``: what each of them follows. If nobody knows what an increment follows, it follows every
    earlier set of its template, or any earlier set if one of the two templates is not known.
    """
    single = {each.id: each for each in sets}
    followers = _followers(single, parents)
    linked: dict[str, SetFacts] = {}

    def put(set_id: str) -> None:
        follow = tuple(linked[each] for each in followers[set_id])
        linked[set_id] = replace(single[set_id], followed_by=follow) if follow else single[set_id]

    for set_id in _last_first(followers):
        put(set_id)
    rest = single.keys() - linked.keys()
    if rest:
        before = [*_last_first(_turned({each: followers[each] for each in rest}, rest))]
        linked |= _in_circles(sorted(rest - set(before)), single, followers, linked)
        for set_id in reversed(before):
            put(set_id)
    return linked


def changed(sets: Iterable[SetFacts], change: Callable[[SetFacts], SetFacts]) -> tuple[SetFacts, ...]:
    """Sets after a change of each of them and of all that follow them. ``change`` gets a set whose followers
    are changed already; a set that it returns unchanged costs nothing."""
    changed_sets: dict[int, SetFacts] = {}
    wanted = tuple(sets)
    waiting = list(wanted)
    while waiting:
        stored = waiting[-1]
        open_ = [each for each in stored.followed_by if id(each) not in changed_sets]
        if open_:
            waiting += open_
            continue
        waiting.pop()
        if id(stored) not in changed_sets:
            follow = tuple(changed_sets[id(each)] for each in stored.followed_by)
            is_same = all(new is old for new, old in zip(follow, stored.followed_by, strict=True))
            changed_sets[id(stored)] = change(stored if is_same else replace(stored, followed_by=follow))
    return tuple(changed_sets[id(each)] for each in wanted)


def _followers(single: Mapping[str, SetFacts], parents: Mapping[str, str | None]) -> dict[str, list[str]]:
    """For each set the sets that follow it next, in the order of their ids."""
    followers: dict[str, set[str]] = {each: set() for each in single}
    astray = _Astray(each for each in single.values() if each.type != FULL and not parents.get(each.id))
    for stored in single.values():
        parent = parents.get(stored.id)
        if parent in followers:
            followers[parent].add(stored.id)
        followers[stored.id].update(astray.next_after(stored))
    return {each: sorted(follow) for each, follow in followers.items()}


class _Astray:
    """Increments of which nobody knows what they follow. Each may follow the ones before it, too: so it is
    enough to know the next ones after a set, and the rest follows them."""

    def __init__(self, sets: Iterable[SetFacts]) -> None:
        self._of: dict[int | None, list[tuple[datetime, str]]] = defaultdict(list)
        for each in sets:
            self._of[each.template_id].append((each.started_at, each.id))
        for begun in self._of.values():
            begun.sort()

    def next_after(self, stored: SetFacts) -> Iterator[str]:
        templates = self._of.keys() if stored.template_id is None else {stored.template_id, None}
        for template in templates:
            begun = self._of.get(template, [])
            place = bisect_right(begun, stored.started_at, key=lambda each: each[0])
            for moment, set_id in begun[place:]:
                if moment != begun[place][0]:
                    break
                yield set_id


def _turned(followers: Mapping[str, Iterable[str]], within: Collection[str]) -> dict[str, list[str]]:
    """For each set the sets that it follows."""
    followed: dict[str, list[str]] = {each: [] for each in within}
    for each, follow in followers.items():
        for follower in follow:
            if follower in followed:
                followed[follower].append(each)
    return followed


def _last_first(followers: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Every set after all that follow it. A set that follows itself never comes, nor does what it follows."""
    left = {each: len(follow) for each, follow in followers.items()}
    followed = _turned(followers, followers.keys())
    ready = [each for each, count in left.items() if not count]
    while ready:
        set_id = ready.pop()
        yield set_id
        for parent in followed[set_id]:
            left[parent] -= 1
            if not left[parent]:
                ready.append(parent)


def _in_circles(
    ids: Collection[str],
    single: Mapping[str, SetFacts],
    followers: Mapping[str, Iterable[str]],
    linked: Mapping[str, SetFacts],
) -> dict[str, SetFacts]:
    """A clock that was set back, or a broken catalogue, makes sets follow each other in a circle: none of
    these may be lost before all of them may, with what follows them."""
    after = {each for set_id in ids for each in followers[set_id]}.difference(ids)
    follow = tuple(single[each] for each in ids) + tuple(linked[each] for each in sorted(after))
    return {each: replace(single[each], followed_by=follow) for each in ids}
