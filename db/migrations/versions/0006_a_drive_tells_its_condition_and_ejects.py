"""a drive tells its condition, and ejects after a run"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COUNTERS = ("loads", "written_bytes", "write_errors", "read_errors")


def upgrade() -> None:
    op.add_column("scheduled_tasks", sa.Column("after_run", sa.Text(), server_default="keep", nullable=False))
    op.create_check_constraint("after_run_known", "scheduled_tasks", "after_run in ('keep', 'eject')")
    for name in COUNTERS:
        op.add_column("tape_cartridges", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column(
        "tape_cartridges",
        sa.Column("tape_alerts", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
    )
    op.add_column("tape_cartridges", sa.Column("health_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for name in ("health_at", "tape_alerts", *reversed(COUNTERS)):
        op.drop_column("tape_cartridges", name)
    op.drop_constraint(op.f("ck_scheduled_tasks_after_run_known"), "scheduled_tasks", type_="check")
    op.drop_column("scheduled_tasks", "after_run")
