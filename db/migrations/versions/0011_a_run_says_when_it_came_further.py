"""a run says when it came further, and whether its drive was asked to look at the tape"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chain_runs", sa.Column("moved_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("chain_runs", sa.Column("look_asked_at", sa.DateTime(timezone=True), nullable=True))
    # What is under way at this moment has until now to come further.
    op.execute("UPDATE chain_runs SET moved_at = clock_timestamp() WHERE finished_at IS NULL")


def downgrade() -> None:
    op.drop_column("chain_runs", "look_asked_at")
    op.drop_column("chain_runs", "moved_at")
