"""Migrations: from an empty database to the models, and back."""

from __future__ import annotations

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import make_url, text

from db.engine import Database, alembic_config, newest_version
from db.errors import DatabaseNotMigrated, DatabaseUnavailable
from db.models import Base, Options, RunNotes
from db.runs import lookup
from db.runs.lookup import RunFilter
from db.states import BackupType
from policy.errors import UsageError


def test_upgrading_from_empty_leaves_no_difference_to_the_models(database: Database) -> None:
    """What the migrations build is what the models say."""
    config = alembic_config()
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.check(config)


def test_downgrading_leaves_nothing_and_upgrading_again_works(database: Database) -> None:
    """Every migration can be taken back."""
    config = alembic_config()
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        connection.commit()
        left = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
    assert left == ["alembic_version"]
    with pytest.raises(DatabaseNotMigrated, match="tapeline migrate"):
        database.check_version()
    database.upgrade()
    database.check_version()


def test_the_newest_version_is_alembics_head() -> None:
    """What the program compares without Alembic is what Alembic would say."""
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == newest_version()


def test_every_table_of_the_design_is_there() -> None:
    """Their names are fixed: operators query them."""
    assert set(Base.metadata.tables) >= {
        "scheduled_tasks", "backup_tasks", "chain_runs", "chain_steps", "run_events", "drives",
        "tape_cartridges", "tape_pools", "format_permits", "backup_sets", "backup_files", "notifications",
    }  # fmt: skip


def test_a_database_that_is_down_is_one_clear_error(database_url: str) -> None:
    """The error names the address without its password, and the remedy."""
    away = make_url("postgresql+psycopg2://u:secret@127.0.0.1:1/x")
    database = Database(away.render_as_string(hide_password=False))
    with pytest.raises(DatabaseUnavailable, match="tapeline up") as caught, database.transaction() as session:
        session.execute(text("SELECT 1"))
    assert "secret" not in str(caught.value)


def test_a_database_without_tables_says_so(database: Database) -> None:
    """A statement on missing tables names the command that makes them."""
    with pytest.raises(DatabaseNotMigrated, match="tapeline migrate"), database.transaction() as session:
        session.execute(text("SELECT * FROM no_such_table"))


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite:///x", "postgresql://u@h/d", "mysql://h/d"])
def test_only_postgresql_with_its_driver_named_is_taken(url: str) -> None:
    """Any other address is a usage error that names the setting."""
    with pytest.raises(UsageError, match="database_url"):
        Database(url)


def test_schedules_from_before_they_could_fire_are_run_by_hand(database: Database) -> None:
    """One that names no time does not become a broken one; one that names a time keeps it."""
    config = alembic_config()
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        connection.execute(
            text(
                "INSERT INTO backup_tasks (is_template, name, type, sources) VALUES (true, 't', 'full', '[]')"
            )
        )
        for name, when in (("demo", "{}"), ("nightly", '{"day": 1, "at": "02:00"}')):
            connection.execute(
                text(
                    "INSERT INTO scheduled_tasks (name, template_id, drive, schedule_type, schedule_config)"
                    " SELECT :name, id, 'tape0', 'monthly', CAST(:when AS jsonb) FROM backup_tasks"
                ),
                {"name": name, "when": when},
            )
        connection.commit()
    database.upgrade()
    with database.engine.connect() as connection:
        found = connection.execute(text("SELECT name, schedule_type FROM scheduled_tasks")).all()
    assert {row[0]: row[1] for row in found} == {"demo": "manual", "nightly": "monthly"}


def test_what_a_run_noted_among_its_options_is_moved_to_its_notes(database: Database) -> None:
    """A restore that waits for its second tape continues, with the same options. After a downgrade, the
    earlier version finds all that it reads."""
    config = alembic_config()
    given = {
        "restore": '{"target": "/r", "paths": ["/a"], "patterns": [], "overwrite": false, "identity": null,'
        ' "cartridges": [2], "next_tape": true}',
        "verify": '{"percent": 5, "cartridges": [1, 2], "damaged": 3, "next_tape": true}',
        "backup": '{"type": "full", "erase_label": "TP20241015", "erase_sets": []}',
        "import": "{}",
    }
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0027")
        for kind, options in given.items():
            connection.execute(
                text(
                    "INSERT INTO chain_runs (kind, trigger, state, drive, due_at, options)"
                    " VALUES (:kind, 'manual', 'FAILED', 'tape0', now(), CAST(:options AS jsonb))"
                ),
                {"kind": kind, "options": options},
            )
        connection.commit()
    database.upgrade()
    with database.transaction() as session:
        runs = {run.kind.value: (run.options, run.notes) for run in lookup.find(session, RunFilter())}
    assert runs == {
        "restore": (Options(target="/r", paths=("/a",)), RunNotes(cartridges=(2,), next_tape=True)),
        "verify": (Options(percent=5), RunNotes(cartridges=(1, 2), damaged=3, next_tape=True)),
        "backup": (
            Options(type=BackupType.FULL, erase_label="TP20241015"),
            RunNotes(erase_sets=()),
        ),
        "import": (Options(), RunNotes()),
    }
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0027")
        rows = connection.execute(text("SELECT kind, options FROM chain_runs"))
        before = {kind: options for kind, options in rows}  # noqa: C416 - rows are no dictionary's items to mypy
    assert before["restore"] == {
        "target": "/r", "paths": ["/a"], "overwrite": False, "cartridges": [2], "next_tape": True,
    }  # fmt: skip
    assert before["verify"] == {"percent": 5, "cartridges": [1, 2], "damaged": 3, "next_tape": True}
    assert before["backup"] == {"type": "full", "erase_label": "TP20241015", "erase_sets": []}
    database.upgrade()
