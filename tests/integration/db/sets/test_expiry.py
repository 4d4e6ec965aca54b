"""Sets that are past retention, in a real catalogue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from db.engine import Database
from db.models import BackupSet, BackupTask
from db.sets import catalog, expiry, lineage
from db.states import BackupType
from db.tapes import kin
from policy.tapes.facts import SetState

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def add(database: Database, number: int, parent: int | None = None, **values: object) -> str:
    """A set of some days ago; the first one makes the template."""
    set_id = _id(number)
    with database.transaction() as session:
        template = session.get(BackupTask, 1)
        if template is None:
            template = BackupTask(is_template=True, name="t", type=BackupType.FULL, sources=["/"])
            session.add(template)
            session.flush()
        facts = {
            "type": BackupType.INCREMENTAL if parent else BackupType.FULL,
            "state": SetState.COMPLETE,
            "parent_id": _id(parent) if parent else None,
            "started_at": NOW - timedelta(days=100 - number),
        }
        catalog.add_set(
            session, BackupSet(id=set_id, template_id=template.id, sources=["/"], **(facts | values))
        )
    return set_id


def _id(number: int) -> str:
    return f"20261101T0000{number:02}Z-0001"


def expirable(database: Database) -> list[str]:
    with database.transaction() as session:
        return [stored.id for stored in expiry.expirable(session, NOW)]


PAST, FUTURE = NOW - timedelta(days=1), NOW + timedelta(days=1)


def test_a_parent_stays_while_what_follows_it_is_kept(database: Database) -> None:
    """Through the whole chain; as soon as the last increment may go, all of them may."""
    add(database, 1, retention_until=PAST)
    add(database, 2, 1, retention_until=PAST)
    last = add(database, 3, 2, retention_until=FUTURE)
    assert expirable(database) == []
    with database.transaction() as session:
        catalog.get(session, last).retention_until = PAST
    assert expirable(database) == [_id(1), _id(2), _id(3)]


def test_the_newest_of_each_kind_are_kept(database: Database) -> None:
    """Of four full sets with keep_sets 2, two may go; incomplete ones and other kinds do not count."""
    for number in (1, 2, 3, 4):
        add(database, number, keep_sets=2)
    add(database, 5, keep_sets=2, state=SetState.INCOMPLETE, retention_until=None)
    add(database, 6, 4, retention_until=None)
    assert expirable(database) == [_id(1), _id(2)]


def test_a_marked_set_is_no_parent_and_is_not_erased(database: Database) -> None:
    """An increment is taken against the newest one that is not marked; the marked one is whole."""
    add(database, 1)
    add(database, 2, retention_until=PAST)
    with database.transaction() as session:
        found = expiry.expirable(session, NOW)
        assert [stored.id for stored in found] == [_id(2)]
        expiry.mark(found, NOW)
    with database.transaction() as session:
        parent = lineage.parent_for(session, 1, BackupType.INCREMENTAL)
        assert parent
        assert parent.id == _id(1)
        assert catalog.get(session, _id(2)).state is SetState.COMPLETE
        assert kin.Family(session, select(BackupSet.id)).facts[_id(2)].may_be_lost(NOW)
    assert expirable(database) == []
