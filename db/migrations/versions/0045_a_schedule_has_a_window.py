"""a schedule has a window in which its runs may work"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("scheduled_tasks", sa.Column("backup_window", sa.Text(), nullable=True))
    op.add_column("chain_runs", sa.Column("opens_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("chain_runs", sa.Column("closes_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("chain_runs", "closes_at")
    op.drop_column("chain_runs", "opens_at")
    op.drop_column("scheduled_tasks", "backup_window")
