"""The guard over the sources: each limit, and what holds nothing."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy import guard
from policy.guard import MIN_BYTES, MIN_FILES, WORSE, Doubt, GuardLimits, GuardRule, PlannedSource
from policy.message import M
from policy.sources import NORM, FileSystem, Past, Source, Survey, norm

HOME = FileSystem("ext4", "uuid-1", "/mnt/files")
ROOT = FileSystem("ext4", "uuid-0", "/")
WAS = Source("/mnt/files", place=HOME, first_level=100, files=200, bytes=200 << 20)
EVERY_LIMIT = {"fewer_files": "off", "fewer_bytes": "off", "deleted": "off", "changed": "off"}


def survey(*sources: Source, rules: str = "r") -> Survey:
    return Survey(rules, sources)


def look(*, limits: GuardLimits | None = None, was: Source = WAS, **now: Any) -> list[GuardRule]:
    seen = replace(was, files=None, bytes=None, **now)
    return [doubt.rule for doubt in guard.before(limits or GuardLimits(), [survey(was)], [seen])]


def plan(*, limits: GuardLimits | None = None, was: Source = WAS, **now: Any) -> list[GuardRule]:
    planned = replace(PlannedSource(was.path, 200, 200 << 20), **now)
    return [doubt.rule for doubt in guard.after(limits or GuardLimits(), [survey(was)], [planned])]


PLACES: list[tuple[dict[str, Any], list[GuardRule]]] = [
    ({}, []),
    ({"is_there": False, "place": FileSystem(), "first_level": None}, [GuardRule.GONE]),
    # The mount is gone, and its folder is still there.
    ({"place": ROOT, "first_level": 0}, [GuardRule.PLACE, GuardRule.EMPTY]),
    ({"first_level": 0}, [GuardRule.EMPTY]),
    ({"first_level": 49}, [GuardRule.FIRST_LEVEL]),
    ({"first_level": 50}, []),
    ({"first_level": 1000}, []),
    ({"first_level": None}, []),
    ({"place": replace(HOME, kind="nfs4")}, [GuardRule.PLACE]),
    ({"place": replace(HOME, id="uuid-2")}, [GuardRule.PLACE]),
    ({"place": replace(HOME, mount_point="/mnt")}, [GuardRule.PLACE]),
    # What is not known is no difference.
    ({"place": FileSystem()}, []),
    ({"place": FileSystem(mount_point="/mnt/files")}, []),
]


@pytest.mark.parametrize(("now", "rules"), PLACES)
def test_a_first_look(now: dict[str, Any], rules: list[GuardRule]) -> None:
    """What is held against a source before a tape is touched."""
    assert look(**now) == rules


PLANS: list[tuple[dict[str, Any], list[GuardRule]]] = [
    ({}, []),
    ({"files": 0}, [GuardRule.EMPTY]),
    ({"files": 99}, [GuardRule.FEWER_FILES]),
    ({"files": 100}, []),
    ({"files": 10**6}, []),
    ({"bytes": (100 << 20) - 1}, [GuardRule.FEWER_BYTES]),
    ({"bytes": 100 << 20}, []),
    ({"known": 200, "deleted": 60}, []),
    ({"known": 200, "deleted": 61}, [GuardRule.DELETED]),
    ({"known": 200, "changed": 120}, []),
    ({"known": 200, "changed": 121}, [GuardRule.CHANGED]),
    # Of a full backup nothing is known to be deleted or changed.
    ({"known": None, "deleted": 200, "changed": 200}, []),
    ({"known": MIN_FILES, "deleted": MIN_FILES}, [GuardRule.DELETED]),
    ({"known": MIN_FILES - 1, "deleted": MIN_FILES - 1, "changed": MIN_FILES - 1}, []),
]


@pytest.mark.parametrize(("now", "rules"), PLANS)
def test_a_plan(now: dict[str, Any], rules: list[GuardRule]) -> None:
    """What is held against a source before the first byte: at a limit is within it."""
    assert plan(**now) == rules


def test_of_few_no_share_is_judged() -> None:
    """One file of three is a third; that nothing is left is told of any number."""
    few = replace(WAS, first_level=MIN_FILES - 1, files=MIN_FILES - 1, bytes=MIN_BYTES - 1)
    enough = replace(WAS, first_level=MIN_FILES, files=MIN_FILES, bytes=MIN_BYTES)
    assert look(was=few, first_level=1) == plan(was=few, files=1, bytes=0) == []
    assert (look(was=few, first_level=0), plan(was=few, files=0, bytes=0)) == (
        [GuardRule.EMPTY],
        [GuardRule.EMPTY],
    )
    assert look(was=enough, first_level=1) == [GuardRule.FIRST_LEVEL]
    assert plan(was=enough, files=1, bytes=0) == [GuardRule.FEWER_FILES, GuardRule.FEWER_BYTES]


def test_each_limit_can_be_another_or_off() -> None:
    """As the template says; what it leaves out has its default."""
    wide = GuardLimits.parse({"fewer_files": "50.5%", "deleted": "31%"})
    assert (wide.fewer_files, wide.deleted, wide.changed, wide.mount) == (50.5, 31.0, 60.0, True)
    assert plan(limits=wide, files=99) == plan(limits=wide, known=200, deleted=62) == []
    assert plan(limits=wide, known=200, deleted=63) == [GuardRule.DELETED]
    off = GuardLimits.parse({**EVERY_LIMIT, "mount": False})
    assert {getattr(off, field.name) for field in fields(off)} == {None, False}
    assert plan(limits=off, files=0, bytes=0, known=200, deleted=200, changed=200) == []
    assert look(limits=off, place=ROOT, first_level=0) == []
    assert look(limits=off, is_there=False) == [GuardRule.GONE]


def test_what_holds_nothing() -> None:
    """A first run, another list of sources or excludes, and a source that was empty, was not there before, or
    of which nothing is known."""
    gone = [Source(WAS.path, is_there=False)]
    empty = [PlannedSource(WAS.path, 0, 0, 200, 200, 0)]
    for surveys in (
        [],
        [survey(replace(WAS, path="/other"))],
        [survey(replace(WAS, is_there=False, files=0, bytes=0))],
    ):
        assert guard.before(GuardLimits(), surveys, gone) == ()
        assert guard.after(GuardLimits(), surveys, [replace(empty[0], known=None)]) == ()
    was_empty = replace(WAS, first_level=0, files=0, bytes=0)
    assert look(was=was_empty) == plan(was=was_empty, files=0, bytes=0) == []
    unknown = replace(WAS, first_level=None, files=None, bytes=None)
    assert look(was=unknown, first_level=0) == plan(was=unknown, files=0, bytes=0) == []
    assert norm([Past(survey(WAS), False)], "others") == []


def test_the_norm_is_the_median_of_the_last_sets() -> None:
    """One set that is out of line is no norm; what a person has accepted is. Unknown is no zero."""
    sizes = [10, 200, 210, 190, 205, 1, 1, 1]
    past = [Past(survey(replace(WAS, files=files)), False) for files in sizes]
    surveys = norm(past, "r")
    assert len(surveys) == NORM
    assert _held(surveys, 100) == []
    assert _held(surveys, 99) == [GuardRule.FEWER_FILES]
    accepted = [past[0], Past(survey(replace(WAS, files=100)), True), *past[1:]]
    assert [each.sources[0].files for each in norm(accepted, "r")] == [10, 100]
    assert _held([survey(replace(WAS, files=None)), *surveys], 99) == [GuardRule.FEWER_FILES]


def test_a_set_that_had_nothing_is_no_measure() -> None:
    """After files were gone, accepted and are back, their number is the norm again; else it is not."""
    back = [survey(replace(WAS, files=files, bytes=files << 20)) for files in (200, 0, 0)]
    assert _held(back, 99) == [GuardRule.FEWER_FILES]
    assert _held(back[:2], 99) == [GuardRule.FEWER_FILES]
    assert _held(back[1:] + back[:1], 0) == []


def _held(surveys: list[Survey], files: int) -> list[GuardRule]:
    return [
        doubt.rule
        for doubt in guard.after(GuardLimits(), surveys, [PlannedSource(WAS.path, files, 200 << 20)])
    ]


def doubt(rule: GuardRule, share: float | None = 50.0, source: str = "/a") -> Doubt:
    return Doubt(rule, source, M("a doubt"), share)


def test_what_an_acceptance_covers() -> None:
    """The same doubt, also a little worse, and what is found later for the same reason; nothing else."""
    fewer = doubt(GuardRule.FEWER_FILES)
    assert guard.open_doubts([fewer, doubt(GuardRule.FEWER_FILES, 50 + WORSE)], [fewer]) == ()
    for other in (
        doubt(GuardRule.FEWER_FILES, 50.1 + WORSE),
        doubt(GuardRule.FEWER_FILES, source="/b"),
        doubt(GuardRule.CHANGED),
        doubt(GuardRule.EMPTY),
        doubt(GuardRule.PLACE, None),
    ):
        assert guard.open_doubts([other], [fewer]) == (other,)
    assert (
        guard.open_doubts(
            [doubt(GuardRule.DELETED, 100), doubt(GuardRule.FEWER_FILES, 100)], [doubt(GuardRule.EMPTY)]
        )
        == ()
    )
    assert guard.open_doubts([doubt(GuardRule.CHANGED, 100)], [doubt(GuardRule.PLACE, None)]) == ()
    assert guard.open_doubts([doubt(GuardRule.CHANGED, 100)], [doubt(GuardRule.EMPTY)]) != ()


numbers = st.integers(0, 10**6)


@given(st.integers(1, 10**6), numbers, numbers, st.floats(0, 100))
def test_more_is_never_held_and_less_never_let_go(usual: int, files: int, fewer: int, limit: float) -> None:
    """What holds some files holds fewer of them; as many as usual, or more, hold nothing."""
    limits = GuardLimits(fewer_files=limit)
    was = replace(WAS, files=usual)
    assert plan(limits=limits, was=was, files=usual + files) == []
    if plan(limits=limits, was=was, files=files):
        assert plan(limits=limits, was=was, files=max(files - fewer, 0))


@given(
    st.sampled_from(GuardRule),
    st.one_of(st.none(), st.floats(0, 100)),
    st.lists(st.text(), max_size=3),
)
def test_a_doubt_is_kept_as_it_is(rule: GuardRule, share: float | None, names: list[str]) -> None:
    """A doubt survives the database, and covers itself."""
    one = Doubt(rule, "/a", M("{a}", a="b"), share, tuple(names))
    assert Doubt.from_json(one.to_json()) == one
    assert one.covers(one)


def test_a_survey_is_kept_as_it_is() -> None:
    """Also what is not known."""
    kept = survey(WAS, Source("/gone", is_there=False))
    assert Survey.from_json(kept.to_json()) == kept


def test_what_must_be_mounted_on_windows() -> None:
    """Paths as an operator writes them there, mount points as the engine does."""
    for point, unmet in (("/D:", False), ("/D:/data", False), ("/C:", True), (None, True)):
        seen = [Source("D:\\data\\files", place=FileSystem(mount_point=point))]
        assert bool(guard.not_mounted(["D:\\"], seen)) is unmet


@pytest.mark.parametrize(
    ("demanded", "place", "unmet"),
    [
        ("/mnt/files", HOME, False),
        ("/mnt/files/", HOME, False),
        ("/mnt", HOME, False),
        ("/mnt/files", ROOT, True),
        ("/mnt/files", FileSystem(), True),
        ("/mnt/files", replace(HOME, mount_point="/mnt/files2"), True),
        ("/mnt/other", ROOT, False),
    ],
)
def test_what_must_be_mounted(demanded: str, place: FileSystem, unmet: bool) -> None:
    """Each source at or below such a folder lies on a file system that is mounted there, or deeper."""
    seen = [Source("/mnt/files", place=place), Source("/srv", place=ROOT)]
    assert bool(guard.not_mounted([demanded], seen)) is unmet
    assert guard.not_mounted([demanded], [Source("/srv", place=ROOT)]) == ()


DUMP = "/tapeline-dumps/accounts.sql"


def dumped(*sizes: int | None) -> list[Survey]:
    return [Survey("r", (Source(DUMP, files=1, bytes=size),)) for size in sizes]


@pytest.mark.parametrize(
    ("before", "size", "rule"),
    [
        ((), 0, None),
        ((0,), 0, None),
        ((1,), 0, GuardRule.EMPTY),
        ((None, 1), 0, GuardRule.EMPTY),
        ((None,), 0, None),
        ((40 << 20, 40 << 20, 10), 20 << 20, None),
        ((40 << 20, 40 << 20, 10), (20 << 20) - 1, GuardRule.FEWER_BYTES),
        ((15 << 20,), 1, None),
    ],
)
def test_a_dump_that_has_become_small(
    before: tuple[int | None, ...], size: int, rule: GuardRule | None
) -> None:
    """Its size is compared when it has been read: with the median, and nothing is not less than little."""
    found = guard.of_dump(GuardLimits(), dumped(*before), DUMP, size)
    assert [doubt.rule for doubt in found] == ([rule] if rule else [])
    assert guard.of_dump(GuardLimits(fewer_bytes=None), dumped(*before), DUMP, size) == ()
    assert guard.of_dump(GuardLimits(), dumped(*before), "/tapeline-dumps/new", size) == ()


def told(doubts: tuple[Doubt, ...]) -> list[tuple[GuardRule, str, str, float | None, tuple[str, ...]]]:
    return [(each.rule, each.source, str(each.message), each.share, each.names) for each in doubts]


def test_a_first_look_has_its_figures() -> None:
    """An operator decides by them, and an acceptance counts up to its share."""

    def seen(**now: Any) -> tuple[Doubt, ...]:
        return guard.before(GuardLimits(), [survey(WAS)], [replace(WAS, **now)])

    path = WAS.path
    assert told(seen(is_there=False)) == [
        (GuardRule.GONE, path, "Source /mnt/files was there at the last backup, and is not now.", None, ())
    ]
    assert told(seen(place=ROOT)) == [(
        GuardRule.PLACE, path,
        "Source /mnt/files is on another file system than at the last backup: ext4 uuid-0 /, before: ext4"
        " uuid-1 /mnt/files.", None, (),
    )]  # fmt: skip
    assert told(seen(first_level=0)) == [
        (GuardRule.EMPTY, path, "Source /mnt/files is empty: it had 100 names.", 100.0, ())
    ]
    assert told(seen(first_level=25)) == [(
        GuardRule.FIRST_LEVEL, path,
        "Source /mnt/files has 25 names in its first level, and had 100: 75 % fewer.", 75.0, (),
    )]  # fmt: skip


def test_a_plan_has_its_figures_and_the_first_names() -> None:
    def planned(**now: Any) -> tuple[Doubt, ...]:
        was = replace(WAS, files=2000)
        usual = PlannedSource(WAS.path, 2000, 200 << 20, deleted_names=("a", "b"), changed_names=("c",))
        return guard.after(GuardLimits(), [survey(was)], [replace(usual, **now)])

    path = WAS.path
    assert told(planned(files=0)) == [
        (GuardRule.EMPTY, path, "Source /mnt/files has no file any more: usual are 2,000.", 100.0, ("a", "b"))
    ]
    assert told(planned(files=500)) == [(
        GuardRule.FEWER_FILES, path, "Source /mnt/files has 500 files, usual are 2,000: 75 % fewer.", 75.0,
        ("a", "b"),
    )]  # fmt: skip
    assert told(planned(bytes=50 << 20)) == [(
        GuardRule.FEWER_BYTES, path,
        "Source /mnt/files has 52.4 MB, usual are 209.7 MB: 75 % less.", 75.0, (),
    )]  # fmt: skip
    assert told(planned(known=2000, deleted=1000, changed=1500)) == [
        (
            GuardRule.DELETED, path,
            "Of 2,000 files of source /mnt/files, 1,000 are deleted: 50 %.", 50.0, ("a", "b"),
        ),
        (
            GuardRule.CHANGED, path,
            "Of 2,000 files of source /mnt/files, 1,500 have changed: 75 %.", 75.0, ("c",),
        ),
    ]  # fmt: skip


def test_a_dump_has_its_figures() -> None:
    surveys = [survey(replace(WAS, path="accounts.sql", bytes=200 << 20))]
    assert told(guard.of_dump(GuardLimits(), surveys, "accounts.sql", 0)) == [
        (GuardRule.EMPTY, "accounts.sql", "Dump accounts.sql is empty: usual are 209.7 MB.", 100.0, ())
    ]
    [doubt] = guard.of_dump(GuardLimits(), surveys, "accounts.sql", 50 << 20)
    assert (doubt.rule, doubt.source, doubt.share) == (GuardRule.FEWER_BYTES, "accounts.sql", 75.0)


def test_every_source_has_its_doubts() -> None:
    """One after the other, also behind one that has none."""
    others = [replace(WAS, path=path) for path in ("/a", "/b", "/c")]
    seen = [replace(others[0], first_level=0), others[1], replace(others[2], is_there=False)]
    doubts = guard.before(GuardLimits(), [survey(*others)], seen)
    assert [(each.source, each.rule) for each in doubts] == [
        ("/a", GuardRule.EMPTY),
        ("/c", GuardRule.GONE),
    ]


def test_an_acceptance_without_a_share_covers_one_with_a_share() -> None:
    """And the other way round: a rule without figures has nothing that could grow."""
    plain = Doubt(GuardRule.EMPTY, "/a", M("x"))
    much = replace(plain, share=100.0)
    assert plain.covers(much)
    assert much.covers(plain)
    assert not replace(much, share=50.0).covers(much)
    assert not plain.covers(replace(plain, rule=GuardRule.PLACE))
    assert not doubt(GuardRule.CHANGED).covers(doubt(GuardRule.EMPTY))


@pytest.mark.parametrize(
    ("path", "folder", "is_it"),
    [
        ("/srv/BOX/a", "/srv/BOX", True),
        ("/srv/BOX/", "/srv/BOX", True),
        ("/srv/BOX", "/srv/BOX/", True),
        ("/srv/BOX2", "/srv/BOX", False),
        ("/srv", "/", True),
    ],
)
def test_at_or_below_a_folder(path: str, folder: str, is_it: bool) -> None:
    assert guard.is_at_or_below(path, folder) is is_it
