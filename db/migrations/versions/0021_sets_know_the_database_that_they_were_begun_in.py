"""sets know the database that they were begun in: a copy of it may not know what follows them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "backup_sets", sa.Column("home", sa.Text(), server_default=sa.text("database_home()"), nullable=False)
    )
    # Of a database that was restored before: that of their run, unless somebody has released it since.
    op.execute(
        "UPDATE backup_sets SET home = run.home FROM chain_runs AS run WHERE run.id = backup_sets.run_id"
    )


def downgrade() -> None:
    op.drop_column("backup_sets", "home")
