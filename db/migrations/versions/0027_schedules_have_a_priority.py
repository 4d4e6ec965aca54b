"""schedules have a priority: which queued run gets the drive first"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("priority", sa.Text(), server_default="normal", nullable=False)
    op.add_column("scheduled_tasks", column)
    op.create_check_constraint("priority_known", "scheduled_tasks", "priority in ('high', 'normal', 'low')")


def downgrade() -> None:
    op.drop_column("scheduled_tasks", "priority")
