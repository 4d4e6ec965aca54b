"""a run is held where its sources are not as they were, until a person accepts them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_JSON = postgresql.JSONB(astext_type=sa.Text())
_BEFORE = ("QUEUED", "RUNNING", "WAITING_FOR_TAPE", "SUCCEEDED", "FAILED", "SKIPPED", "CANCELLED")
_ACTIVE = ("QUEUED", "RUNNING", "WAITING_FOR_TAPE")
_LISTS = (("chain_runs", "doubts"), ("chain_runs", "accepted"), ("backup_sets", "accepted"))


def _states(states: tuple[str, ...], active: tuple[str, ...]) -> None:
    listed = ", ".join(f"'{state}'" for state in states)
    op.drop_constraint(op.f("ck_chain_runs_run_state"), "chain_runs", type_="check")
    op.create_check_constraint(op.f("ck_chain_runs_run_state"), "chain_runs", f"state in ({listed})")
    op.drop_index("uq_chain_runs_active_schedule", "chain_runs")
    open_ones = ", ".join(f"'{state}'" for state in active)
    op.create_index(
        "uq_chain_runs_active_schedule",
        "chain_runs",
        ["schedule_id"],
        unique=True,
        postgresql_where=sa.text(f"state in ({open_ones})"),
    )


def upgrade() -> None:
    _states((*_BEFORE, "HELD"), (*_ACTIVE, "HELD"))
    for table, name in _LISTS:
        op.add_column(table, sa.Column(name, _JSON, server_default=sa.text("'[]'::jsonb"), nullable=False))
    op.add_column("backup_sets", sa.Column("survey", _JSON, nullable=True))
    op.add_column(
        "backup_tasks", sa.Column("guard", _JSON, server_default=sa.text("'{}'::jsonb"), nullable=False)
    )
    op.add_column(
        "backup_tasks",
        sa.Column("must_be_mounted", _JSON, server_default=sa.text("'[]'::jsonb"), nullable=False),
    )


def downgrade() -> None:
    # What is held would never go on under the version before.
    op.execute("UPDATE chain_runs SET state = 'FAILED', finished_at = now() WHERE state = 'HELD'")
    op.drop_column("backup_tasks", "must_be_mounted")
    op.drop_column("backup_tasks", "guard")
    op.drop_column("backup_sets", "survey")
    for table, name in reversed(_LISTS):
        op.drop_column(table, name)
    _states(_BEFORE, _ACTIVE)
