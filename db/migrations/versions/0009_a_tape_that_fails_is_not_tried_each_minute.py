"""a run that waits knows which tape its drive could do nothing with, and when to try that one again"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chain_runs", sa.Column("tape_failed", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("chain_runs", "tape_failed")
