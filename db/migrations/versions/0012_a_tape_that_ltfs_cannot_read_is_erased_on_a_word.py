"""a tape that LTFS cannot read is formatted once somebody has said that nothing on it is needed"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erasable_tapes",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("drive", sa.Text(), nullable=False),
        sa.Column("mark", sa.Text(), index=True),
        sa.Column("confirmed_by", sa.Text(), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("permit_id", sa.BigInteger(), sa.ForeignKey("format_permits.id")),
    )


def downgrade() -> None:
    op.drop_table("erasable_tapes")
