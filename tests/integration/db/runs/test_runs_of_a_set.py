"""The runs of a set, among years of others."""

from __future__ import annotations

from sqlalchemy import text

from db.engine import Database
from db.runs import lookup
from tests.statements import counted

YEARS = """
INSERT INTO chain_runs (kind, trigger, state, drive, due_at, options, part, dispatch, set_id)
SELECT 'backup', 'schedule', 'SUCCEEDED', 'tape0', now() + n * interval '1 minute', '{}', 1, 1, 'set' || n
FROM generate_series(1, 20000) n
"""


def test_an_index_finds_them(database_url: str) -> None:
    """The page of a set asks for its newest run: years of runs are not read for it."""
    database = Database(database_url)
    with database.transaction() as session:
        session.execute(text(YEARS))
        session.execute(text("ANALYZE chain_runs"))
    with database.transaction() as session, counted(session) as sent:
        first = lookup.of_set(session, "set1", 1)
        assert len(first) == 1
        assert lookup.of_set(session, "elsewhere", 1) == []
    asked = sent[0].replace("%(set_id_1)s", "'set1'").replace("%(param_1)s", "1").replace("::VARCHAR", "")
    with database.transaction() as session:
        plan = "\n".join(session.connection().exec_driver_sql(f"EXPLAIN {asked}").scalars())
    assert "ix_chain_runs_set_id" in plan, plan
    database.close()
