"""what drive and tape warn of is kept: of a run, a drive and a tape; and who cancelled a run"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

NONE = sa.text("'[]'::jsonb")


def upgrade() -> None:
    for table, column in COLUMNS:
        op.add_column(table, sa.Column(column, postgresql.JSONB(), nullable=False, server_default=NONE))
    op.add_column("chain_runs", sa.Column("cancelled_by", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("chain_runs", "cancelled_by")
    for table, column in COLUMNS:
        op.drop_column(table, column)


COLUMNS = (("chain_runs", "condition"), ("drives", "alerts"), ("tape_cartridges", "wear"))
