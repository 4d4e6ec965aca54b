"""a run that ended long ago is one row"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chain_runs", sa.Column("shortened_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "chain_runs", sa.Column("is_missed", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.execute(
        "update chain_runs set is_missed = true where id in"
        " (select run_id from notifications where event = 'missed')"
    )
    op.create_index(
        "ix_chain_runs_with_story",
        "chain_runs",
        ["finished_at"],
        postgresql_where=sa.text("shortened_at is null and finished_at is not null"),
    )


def downgrade() -> None:
    op.drop_index("ix_chain_runs_with_story", "chain_runs")
    op.drop_column("chain_runs", "is_missed")
    op.drop_column("chain_runs", "shortened_at")
