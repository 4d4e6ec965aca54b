"""a schedule knows the file that declares it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("scheduled_tasks", sa.Column("declared_in", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("scheduled_tasks", "declared_in")
