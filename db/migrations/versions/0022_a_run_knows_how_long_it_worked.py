"""a run knows since when, and how long in all, it waited or stood failed"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chain_runs", sa.Column("idle_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("chain_runs", sa.Column("idle_seconds", sa.Float(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("chain_runs", "idle_seconds")
    op.drop_column("chain_runs", "idle_since")
