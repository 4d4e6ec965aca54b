"""a source is read from a snapshot"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "command_brackets",
        sa.Column(
            "snapshots",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
    )
    op.create_index(
        "ix_command_brackets_snapshots",
        "command_brackets",
        ["host"],
        postgresql_where=sa.text("snapshots <> '[]'::jsonb"),
    )


def downgrade() -> None:
    op.drop_index("ix_command_brackets_snapshots", "command_brackets")
    op.drop_column("command_brackets", "snapshots")
