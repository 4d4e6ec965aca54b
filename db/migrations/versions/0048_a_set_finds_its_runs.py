"""a set finds its runs"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_chain_runs_set_id", "chain_runs", ["set_id", "id"], postgresql_where=sa.text("set_id is not null")
    )


def downgrade() -> None:
    op.drop_index("ix_chain_runs_set_id", "chain_runs")
