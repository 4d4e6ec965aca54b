"""a schedule reads its sources slowly at some times of day"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("scheduled_tasks", sa.Column("rate", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("scheduled_tasks", "rate")
