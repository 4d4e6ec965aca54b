"""a file may have a time or a size that no bigint holds, and their sums may be larger still"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SUMS = (("backup_sets", "bytes"), ("backup_archives", "content_bytes"))


def upgrade() -> None:
    op.add_column("backup_files", sa.Column("beyond", postgresql.JSONB(), nullable=True))
    for table, column in SUMS:
        op.alter_column(table, column, type_=sa.Numeric(), existing_type=sa.BigInteger())


def downgrade() -> None:
    for table, column in SUMS:
        nearest = f"least({column}, 9223372036854775807)::bigint"
        op.alter_column(
            table, column, type_=sa.BigInteger(), existing_type=sa.Numeric(), postgresql_using=nearest
        )
    op.drop_column("backup_files", "beyond")
