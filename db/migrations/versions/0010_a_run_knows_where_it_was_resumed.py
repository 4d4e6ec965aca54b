"""a run knows where and why it ended before it was last resumed"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chain_runs", sa.Column("resumed", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("chain_runs", "resumed")
