"""a schedule follows another one"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("scheduled_tasks", sa.Column("run_after", sa.Text(), nullable=True))
    op.add_column("chain_runs", sa.Column("awaits", sa.Text(), nullable=True))
    op.create_index(
        "ix_chain_runs_awaiting",
        "chain_runs",
        ["id"],
        postgresql_where=sa.text("state = 'QUEUED' and awaits is not null"),
    )


def downgrade() -> None:
    op.drop_index("ix_chain_runs_awaiting", "chain_runs")
    op.drop_column("chain_runs", "awaits")
    op.drop_column("scheduled_tasks", "run_after")
