"""The file of schedules: what it may say, and that its schema, its reader and its example agree."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import fields
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from db.models import BackupTask, ScheduledTask
from db.states import BackupType
from policy.errors import UsageError, UsageErrors
from policy.guard import GuardLimits
from policy.schedule import file, form, toml, when
from policy.schedule.fields import BACKUP_TYPES, Backup, Columns, Guard
from policy.schedule.table import FieldError, Table
from policy.times.period import ScheduleType

DOCS = Path(__file__).parents[4] / "docs"
DEFAULTS = {"time_zone": "Asia/Shanghai", "drive": "tape0"}
SCHEMA = Draft202012Validator(file.json_schema())
BACKUP = {"sources": ["/srv"]}
DAILY = {"type": "daily", "at": "02:00"}


def document(**fields: Any) -> dict[str, Any]:
    return {"schedules": {"nightly": {"when": DAILY, "backup": BACKUP, **fields}}}


def names(model: type[Table]) -> list[str]:
    """As the file has them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def reads(given_document: Any) -> bool:
    try:
        file.read(given_document, DEFAULTS)
    except UsageError:
        return False
    return True


def test_the_schema_in_the_documentation_is_that_of_the_program() -> None:
    """``make reference`` brings it up to date."""
    Draft202012Validator.check_schema(file.json_schema())
    assert json.loads((DOCS / "schedules.schema.json").read_text()) == file.json_schema()


def test_the_example_is_read_and_names_every_field() -> None:
    """What an operator starts from works, and shows everything that can be set."""
    text = (DOCS / "schedules.example.toml").read_text()
    example = tomllib.loads(text)
    SCHEMA.validate(example)
    wanted = {want.name: want for want in file.read(example, DEFAULTS)}
    assert set(wanted) == {"monthly-full", "year-end", "before-the-move"}
    full = example["schedules"]["monthly-full"]
    assert set(names(Columns)) <= full.keys() | example["schedules"]["year-end"].keys()
    assert all(f"{name} = " in text for name in names(Backup))
    assert all(f'type = "{each.value}"' in text for each in ScheduleType)
    assert all(f"{each.name} = " in text for each in fields(GuardLimits))
    assert wanted["monthly-full"].schedule["wait_for_tape_seconds"] == 86400
    assert wanted["monthly-full"].template["retention_days"] == 400


def test_the_example_shows_every_kind_of_source() -> None:
    """In comments, since no host has them all: each can be written so, and no option is missing."""
    text = (DOCS / "schedules.example.toml").read_text()
    tables = re.findall(r"# (\{ (?:path|command) = .*\})", text)
    shown = [tomllib.loads(f"source = {table}")["source"] for table in tables]
    for source in shown:
        SCHEMA.validate(of_sources(source))
        file.read(of_sources(source), DEFAULTS)
    every = SCHEMA.schema["$defs"]["Backup"]["properties"]["sources"]["items"]["anyOf"]
    options = {name for kind in every for name in kind.get("properties", ())}
    assert {name for source in shown for name in source} == options


def test_the_example_says_the_defaults() -> None:
    """What stands in its first schedule beside a default in brackets is that default."""
    example = tomllib.loads((DOCS / "schedules.example.toml").read_text())["schedules"]["monthly-full"]
    rules = file.json_schema()["$defs"]
    for table, model in ((example, "Schedule"), (example["backup"], "Backup")):
        defaults = {
            name: field["default"] for name, field in rules[model]["properties"].items() if "default" in field
        }
        assert defaults
        assert {name: table[name] for name in defaults} == defaults


def test_every_field_has_its_column() -> None:
    """The table of fields and the tables of the database name the same things."""
    assert set(Columns.model_fields) <= set(ScheduledTask.__table__.columns.keys())
    assert set(Backup.model_fields) <= set(BackupTask.__table__.columns.keys())
    assert set(BACKUP_TYPES) == {each.value for each in BackupType}
    assert set(when.MODELS) == set(ScheduleType)


WORDS = [
    "02:00", "24:00", "2:00", "12:00:30", "last", "first weekday", "fifth friday", "friday", "6h", "1d12h",
    "30s", "1h30s", "h", "", "0h", "current_month", "pool:", "pool:vault", "rotate", "4GiB", "0GB",
    "zstd", "none", "full", "Asia/Shanghai", "2026-12-24T18:00", "2026-12-24", "refuse", "continue", "fail",
    "30 2 * * *", "30 2 * *", "daily", "manual",
]  # fmt: skip
LISTS = [["/srv"], ["srv"], ["D:\\data"], ["/a", "/a"], [], {}]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 40),
    st.text(max_size=4),
    st.lists(st.text(max_size=2), max_size=2),
    st.sampled_from([*WORDS, *LISTS]),
)
FIELDS = st.sampled_from(
    [(), ("backup",), ("when",)]
).flatmap(
    lambda place: st.tuples(
        st.just(place),
        st.sampled_from(
            {
                (): [*names(Columns), "whne"],
                ("backup",): [*names(Backup), "sorces"],
                ("when",): ["type", "at", "day", "month", "every", "start", "expression"],
            }[place]
        ),
    )
)  # fmt: skip


@given(FIELDS, VALUES, st.sampled_from(sorted(ScheduleType)))
def test_what_the_reader_takes_the_schema_takes_too(
    field: tuple[tuple[str, ...], str], value: Any, kind: ScheduleType
) -> None:
    """An editor never marks as wrong what would be applied; it cannot know everything that is refused."""
    when: dict[str, Any] = {
        "once": {"at": "2026-12-24T18:00"},
        "interval": {"every": "6h"},
        "weekly": {"day": "friday", "at": "02:00"},
        "monthly": {"day": 1, "at": "02:00"},
        "yearly": {"month": 1, "day": "last", "at": "02:00"},
        "cron": {"expression": "30 2 * * *"},
        "manual": {},
    }.get(kind, {"at": "02:00"})
    made = document(when={"type": kind.value, **when}, backup=dict(BACKUP))
    place = made["schedules"]["nightly"]
    for name in field[0]:
        place = place[name]
    place[field[1]] = value
    if reads(made):
        assert SCHEMA.is_valid(made)
    elif not _only_the_reader_knows(field[1], value):
        assert not SCHEMA.is_valid(made)


def _only_the_reader_knows(name: str, value: Any) -> bool:
    """What JSON Schema cannot say: a length of time of zero, which time zones and expressions there are."""
    return isinstance(value, str) and name in {"time_zone", "grace", "wait_for_tape", "every", "expression"}


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([], "file: this must be a table of fields."),
        ({}, "The file names no schedules. Begin with"),
        ({"schedule": {}}, "schedule: there is no such field. Did you mean 'schedules'?"),
        ({"schedules": {"a b": {}}}, "schedules: 'a b' is not right here. Use 1 to 64"),
        ({"schedules": {"x": {"backup": BACKUP}}}, "schedules.x: 'when' is missing."),
        ({"schedules": {"x": {"when": DAILY}}}, "schedules.x: 'backup' is missing."),
        (document(retention=3), "schedules.nightly.retention: there is no such field."),
        (document(backup={}), "schedules.nightly.backup: 'sources' is missing. Write a list of folders"),
        (document(backup={**BACKUP, "retantion_days": 3}),
         "schedules.nightly.backup.retantion_days: there is no such field. Did you mean 'retention_days'?"),
        (document(when={"at": "02:00"}), "schedules.nightly.when: 'type' is missing. Write one of"),
        (None, "The file names no schedules. Begin with"),
        (document(when="daily"), "schedules.nightly.when: this must be a table of fields."),
        (document(when={"type": "dayly", "at": "02:00"}), "when.type: 'dayly' is not right here."),
        (document(when={"type": "daily", "at": time(2, 30, 0, 500)}), "when.at: 02:30:00.000500 is"),
        (document(when={"type": "once", "at": date(2026, 12, 24)}), "when.at: 2026-12-24 is not"),
        (document(when={"type": "weekly", "day": 5, "at": "20:00"}), "when.day: 5 is not right here."),
        (document(when={"type": "monthly", "day": 0, "at": "20:00"}), "when.day: 0 is not right"),
        (document(when={"type": "interval", "every": "6 hours"}), "when.every: '6 hours' is not right here."),
        (document(when={"type": "cron", "expression": "61 2 * * *"}), "when.expression: '61 2 * * *' is not"),
        (document(time_zone="Mars/Olympus"), "time_zone: 'Mars/Olympus' is not right here. Write a"),
        (document(drive="tape 0"), "schedules.nightly.drive: 'tape 0' is not right here. Use 1 to 64"),
        (document(grace="1000d"), "schedules.nightly.grace: '1000d' is not right here. Write a"),
        (document(backup={"sources": "/srv"}), "backup.sources: '/srv' is not right here. Write a list"),
        (document(backup={"sources": ["/a\0b"]}), "backup.sources: ['/a\\x00b'] is not right here."),
        (document(backup={**BACKUP, "archive_size": "4G"}), "archive_size: '4G' is not right here."),
        (document(backup={**BACKUP, "retention_days": "400"}), "retention_days: '400' is not right here."),
        (document(backup={**BACKUP, "excludes": ["a\0"]}), "excludes: ['a\\x00'] is not right here."),
        (document(grace="5s"), "schedules.nightly.grace: '5s' is not right here. Write a length of time"),
        (document(tape_policy="pool:"), "schedules.nightly.tape_policy: 'pool:' is not right here. Use"),
        (document(backup={"sources": ["srv"]}), "schedules.nightly.backup.sources: ['srv'] is not right"),
        (document(enabled="yes"), "schedules.nightly.enabled: 'yes' is not right here. Write true or false."),
        (document(grace_seconds=3600), "schedules.nightly.grace_seconds: there is no such field. There are"),
        (document(wait_for_tape=None), "schedules.nightly.wait_for_tape: None is not right here. Write a"),
        (document(when={"type": ["daily"]}), "nightly.when.type: ['daily'] is not right here. Write one of"),
        (document(when={"type": "daily", "tpye": 1}), "when.tpye: there is no such field. Did you mean"),
        ({"schedules": {"when": {"when": {"type": "daily"}, "backup": BACKUP}}},
         "schedules.when.when: 'at' is missing. Write the local time of day"),
        (document(backup={**BACKUP, "guard": "off"}), "backup.guard: this must be a table of fields."),
        (document(backup={**BACKUP, "guard": {"delete": "1%"}}), "guard.delete: there is no such field."),
        (document(backup={**BACKUP, "guard": {"deleted": "101%"}}),
         "schedules.nightly.backup.guard.deleted: '101%' is not right here. Write a percentage"),
        (document(backup={**BACKUP, "guard": {"mount": "off"}}), "guard.mount: 'off' is not right here."),
        (document(backup={**BACKUP, "detect": "inode"}),
         "nightly.backup.detect: 'inode' is not right here. Write one of: auto, ctime+mtime+size+inode,"),
        (document(backup=[]), "schedules.nightly.backup: this must be a table of fields."),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_line_that_names_the_field(made: Any, message: str) -> None:
    """The place is written as a path through the file, and the remedy says what may stand there."""
    with pytest.raises(UsageError) as caught:
        file.read(made, DEFAULTS)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    if not any(field in message for field in ("grace:", "time_zone:", "expression:")):
        assert not SCHEMA.is_valid(made), "an editor marks it, too"


def test_every_wrong_field_is_named_at_once() -> None:
    """Wrong names, missing fields and wrong values of every table, each with its place."""
    schedule = {
        "enabled": "yes", "drvie": "tape0", "grace": "5s", "time_zone": "Mars/Olympus",
        "when": {"type": "weekly", "day": 5, "tpye": 1},
        "backup": {"retention_days": 0, "sorces": [], "guard": {"deleted": "101%", "delete": "1%"}},
    }  # fmt: skip
    with pytest.raises(UsageErrors) as caught:
        file.read(
            {"schedules": {"x": schedule, "a b": {"when": DAILY, "backup": BACKUP}}, "shedules": 1}, DEFAULTS
        )
    errors = [each for each in caught.value.errors if isinstance(each, FieldError)]
    assert len(errors) == len(caught.value.errors)
    of_x = [".".join(each.place[2:]) for each in errors if each.place[:2] == ("schedules", "x")]
    assert sorted(of_x) == sorted([
        "enabled", "drvie", "grace", "time_zone", "when.day", "when.at", "when.tpye", "backup.retention_days",
        "backup.sorces", "backup.sources", "backup.guard.deleted", "backup.guard.delete",
    ])  # fmt: skip
    others = [each.place for each in errors if each.place[:2] != ("schedules", "x")]
    assert others == [("shedules",), ("schedules",)]
    assert all("\n" not in str(each) for each in errors)
    assert str(caught.value) == str(errors[0])


def test_what_is_read_is_shown_as_it_was_written() -> None:
    """So that a schedule that is as the file says shows no difference."""
    fields = {
        "enabled": False, "time_zone": "Europe/Berlin", "drive": "tape1", "tape_policy": "pool:vault",
        "grace": "1d12h", "wait_for_tape": "1h30m", "unreadable_label": "continue",
        "on_format_failure": "fail",
    }  # fmt: skip
    backup = {
        "sources": ["/srv", "D:\\data"], "type": "full", "compression": "none", "compression_level": 7,
        "archive_size": "500MB", "retention_days": 30, "guard": {"deleted": "5%", "mount": False},
    }  # fmt: skip
    when = {"type": "monthly", "day": "last weekday", "at": "02:00"}
    [want] = file.read(document(when=when, backup=backup, **fields), DEFAULTS)
    shown = dict(file.shown(want.schedule, want.template))
    given = {"when": when, **fields, **{f"backup.{name}": value for name, value in backup.items()}}
    assert {name: shown[name] for name in given} == given


A_DUMP = {"command": "dump-accounts", "name": "accounts.sql"}

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
LINES = ANY_TEXT.map(lambda text: text.replace("\0", "").replace("\n", "") or "x")


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,9}", fullmatch=True),
    st.sampled_from(
        [
            {"type": "monthly", "day": 31, "at": "02:00"},
            {"type": "yearly", "month": 2, "day": "last friday", "at": "02:00:30"},
            {"type": "once", "at": "2026-12-24T18:00"},
            {"type": "interval", "every": "1d6h", "start": "2026-12-24T18:00:05"},
            {"type": "cron", "expression": "30 2 * * 1-5"},
            {"type": "manual"},
        ]
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "enabled": st.booleans(), "grace": st.sampled_from(["12h", "90m"]),
            "wait_for_tape": st.just("2d"), "tape_policy": st.sampled_from(["rotate", "current_month"]),
        },
    ),
    st.fixed_dictionaries(
        {
            "sources": st.lists(LINES.map("/".__add__), min_size=1, max_size=3, unique=True).flatmap(
                lambda folders: st.sampled_from([folders, [*folders, A_DUMP]])
            )
        },
        optional={
            "excludes": st.lists(LINES, max_size=3, unique=True), "retention_days": st.integers(1, 36500),
            "archive_size": st.sampled_from(["4GiB", "500MB"]), "exclude_caches": st.booleans(),
            "guard": st.sampled_from([{}, {"deleted": "5%", "mount": False}, {"changed": "off"}]),
        },
    ),
)  # fmt: skip
def test_what_is_taken_out_as_toml_or_shown_in_a_form_is_read_as_it_was(
    name: str, when_: dict[str, Any], fields: dict[str, Any], backup: dict[str, Any]
) -> None:
    """Any characters in names, folders and patterns; what is a default may be left out."""
    given_document = {"schedules": {name: {"when": when_, **fields, "backup": backup}}}
    [want] = file.read(given_document, DEFAULTS)
    shown = dict(file.shown(want.schedule, want.template))
    [back] = file.read(tomllib.loads(toml.document({name: shown.items()})), {"time_zone": "x", "drive": "x"})
    assert back.name == name
    assert dict(file.shown(back.schedule, back.template)) == shown
    [again] = file.read(form.document(name, form.texts(shown.items())), DEFAULTS)
    assert dict(file.shown(again.schedule, again.template)) == shown


def test_the_form_has_every_field_of_the_file() -> None:
    """Each field of each table once, with what it is for; also one that is added next year."""
    whens = {name for model in when.MODELS.values() for name in model.model_fields}
    guards = [f"backup.guard.{name}" for name in names(Guard)]
    backups = [f"backup.{name}" for name in names(Backup) if name != "guard"]
    places = [each.place for each in form.fields()]
    assert sorted(places) == sorted([*(f"when.{name}" for name in whens), *backups, *guards, *names(Columns)])
    assert all(each.texts for each in form.fields())


def of_sources(*sources: Any) -> dict[str, Any]:
    return document(backup={"sources": list(sources)})


@pytest.mark.parametrize(
    "sources",
    [
        ("/srv", A_DUMP),
        (A_DUMP,),
        (A_DUMP | {"optional": True}, {"command": "dump-accounts", "name": "again"}),
    ],
)
def test_what_a_command_prints_is_a_source(sources: tuple[Any, ...]) -> None:
    """Folders and dumps are columns of their own, and one list again where they are shown."""
    SCHEMA.validate(of_sources(*sources))
    [want] = file.read(of_sources(*sources), DEFAULTS)
    assert want.template["sources"] == [each for each in sources if isinstance(each, str)]
    assert want.template["dumps"] == [each for each in sources if not isinstance(each, str)]
    shown = dict(file.shown({**want.schedule, "schedule_type": ScheduleType.DAILY}, want.template))
    assert shown["backup.sources"] == list(sources)


def test_a_folder_may_be_written_as_a_table() -> None:
    """One without options is the same as its path, and shows no difference."""
    sources = [{"path": "/srv"}, "/home", A_DUMP]
    SCHEMA.validate(of_sources(*sources))
    [want] = file.read(of_sources(*sources), DEFAULTS)
    assert want.template["sources"] == ["/srv", "/home"]
    assert want.template["source_options"] == {}
    shown = dict(file.shown({**want.schedule, "schedule_type": ScheduleType.DAILY}, want.template))
    assert shown["backup.sources"] == ["/srv", "/home", A_DUMP]


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"path": "srv"},
        {"path": ""},
        {"path": ["/srv"]},
        {"path": "/srv", "command": "dump-accounts"},
        {"path": "/srv", "name": "accounts.sql"},
        {"path": "/srv", "unheard_of": True},
        {"path": "/srv", "snapshot": ""},
        {"path": "/srv", "snapshot": True},
        {"path": "/srv", "snapshot": "lvcreate --size 1G"},
        {"path": "/srv", "snapshot": "/bin/sh"},
        {"path": "/srv", "snapshot": "lvm", "snapshot_size": "0%"},
        {"path": "/srv", "snapshot": "lvm", "snapshot_size": "101%"},
        {"path": "/srv", "snapshot": "lvm", "snapshot_size": "20"},
        {"path": "/srv", "snapshot": "lvm", "snapshot_size": 20},
        {"path": "/srv", "detect": "inode"},
        {"path": "/srv", "detect": True},
    ],
)
def test_a_table_that_is_no_folder(source: Any) -> None:
    assert not SCHEMA.is_valid(of_sources("/home", source))
    with pytest.raises(UsageError, match=r"nightly\.backup\.sources: "):
        file.read(of_sources("/home", source), DEFAULTS)


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        ({"path": "/srv", "detekt": "auto"}, "path, snapshot, snapshot_size, detect"),
        ({"command": "dump-accounts", "name": "a.sql", "detekt": True}, "command, name, optional"),
    ],
)
def test_a_field_that_no_source_has_is_named(source: Any, fields: str) -> None:
    with pytest.raises(UsageError, match=f"detekt: a source has no such field; write one of: {fields}"):
        file.read(of_sources("/home", source), DEFAULTS)


@pytest.mark.parametrize("kind", ["btrfs", "clone"])
def test_only_a_snapshot_of_lvm_has_a_size(kind: str) -> None:
    """An editor cannot know it."""
    source = {"path": "/srv", "snapshot": kind, "snapshot_size": "20%"}
    with pytest.raises(UsageError, match='snapshot_size: only a snapshot of kind "lvm" has one'):
        file.read(of_sources(source), DEFAULTS)
    with pytest.raises(UsageError, match='snapshot_size: only a snapshot of kind "lvm" has one'):
        file.read(of_sources({"path": "/srv", "snapshot_size": "20%"}), DEFAULTS)


def test_a_source_with_a_snapshot() -> None:
    """Its path is among the sources as any other, its options are a column of their own."""
    sources = [{"path": "/srv", "snapshot": "lvm", "snapshot_size": "50GB"}, "/home", A_DUMP]
    SCHEMA.validate(of_sources(*sources))
    [want] = file.read(of_sources(*sources), DEFAULTS)
    assert want.template["sources"] == ["/srv", "/home"]
    assert want.template["source_options"] == {"/srv": {"snapshot": "lvm", "snapshot_size": "50GB"}}
    shown = dict(file.shown({**want.schedule, "schedule_type": ScheduleType.DAILY}, want.template))
    assert shown["backup.sources"] == sources


def test_a_source_with_a_rule_of_its_own() -> None:
    """What shows a change on one share, beside the template's rule for the others."""
    sources = ["/home", {"path": "/mnt/nas", "detect": "mtime+size"}, {"path": "/srv", "detect": "auto"}]
    SCHEMA.validate(of_sources(*sources))
    [want] = file.read(of_sources(*sources), DEFAULTS)
    assert want.template["source_options"] == {
        "/mnt/nas": {"detect": "mtime+size"},
        "/srv": {"detect": "auto"},
    }
    shown = dict(file.shown({**want.schedule, "schedule_type": ScheduleType.DAILY}, want.template))
    assert shown["backup.sources"] == sources
    wrong = of_sources({"path": "/mnt/nas", "detect": "ctime"})
    with pytest.raises(UsageError, match=r"nightly\.backup\.sources: .* detect: write one of: auto, ctime"):
        file.read(wrong, DEFAULTS)


def test_a_folder_is_a_source_only_once() -> None:
    with pytest.raises(UsageError, match="each once"):
        file.read(of_sources("/srv", {"path": "/srv"}), DEFAULTS)


@pytest.mark.parametrize(
    "source",
    [
        {"command": "dump"},
        {"name": "a"},
        A_DUMP | {"user": "root"},
        A_DUMP | {"argv": ["sh"]},
        A_DUMP | {"name": "../a"},
        A_DUMP | {"name": ""},
        A_DUMP | {"command": "/bin/sh"},
        A_DUMP | {"optional": "yes"},
        7,
    ],
)
def test_a_dump_that_is_none(source: Any) -> None:
    """A schedule names a command and nothing more: what it is stands in the host's own file."""
    assert not SCHEMA.is_valid(of_sources("/srv", source))
    with pytest.raises(
        UsageError, match=r"nightly\.backup\.sources: .* (and of dumps such as|no such field)"
    ):
        file.read(of_sources("/srv", source), DEFAULTS)


def test_each_dump_has_its_own_name() -> None:
    with pytest.raises(UsageError, match="each once"):
        file.read(of_sources(A_DUMP, A_DUMP | {"optional": True}), DEFAULTS)
