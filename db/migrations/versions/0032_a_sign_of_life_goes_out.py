"""what became of the sign of life that goes out to a monitoring service"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    message = postgresql.JSONB(astext_type=sa.Text())
    op.create_table(
        "alive_pings",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("considered_at", moment, nullable=False),
        sa.Column("sent_at", moment, nullable=True),
        sa.Column("withheld", message, nullable=True),
        sa.Column("error", message, nullable=True),
        sa.Column("failing_since", moment, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_alive_pings")),
    )


def downgrade() -> None:
    op.drop_table("alive_pings")
