"""The list of all schedules."""

from __future__ import annotations

import pytest

from db.engine import Database
from db.models import now
from db.schedules import schedules
from db.states import BackupType
from tests.statements import counted


@pytest.fixture
def database(database_url: str) -> Database:
    return Database(database_url)


def test_a_list_says_of_each_what_it_says_of_one(database: Database) -> None:
    """By one statement, also of a schedule whose sources are commands; a removed one is left out."""
    with database.transaction() as session:
        for name in ("b", "a"):
            schedules.put(
                session,
                name,
                drive="tape0",
                sources=["/data"],
                template={"type": BackupType.INCREMENTAL, "dumps": [{"command": "dump", "name": "x.sql"}]},
            )
        gone = schedules.put(session, "gone", drive="tape0", sources=["/data"])
        gone.archived_at = now()
    with database.transaction() as session, counted(session) as sent:
        listed = schedules.all_as_json(session)
        assert len(sent) == 1
    with database.transaction() as session:
        assert listed == [schedules.as_json(row) for row in schedules.present(session)]
    assert [each["name"] for each in listed] == ["a", "b"]
    assert [each["backup"] for each in listed] == ["incremental"] * 2
    database.close()
