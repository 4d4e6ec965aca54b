"""Messages that belong to no run, and questions to the worker of a drive.

Revision ID: 0004
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision: str | None = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("notifications", "run_id", existing_type=sa.BigInteger(), nullable=True)
    op.add_column("notifications", sa.Column("about", sa.Text(), nullable=True))
    op.create_unique_constraint(op.f("uq_notifications_about_event"), "notifications", ["about", "event"])
    op.create_check_constraint(
        op.f("ck_notifications_run_or_about"), "notifications", "(run_id is null) <> (about is null)"
    )
    op.create_table(
        "drive_checks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("drive", sa.Text(), nullable=False),
        sa.Column("sources", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "asked_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drive_checks")),
    )


def downgrade() -> None:
    op.drop_table("drive_checks")
    op.execute("DELETE FROM notifications WHERE run_id IS NULL")
    op.drop_constraint(op.f("ck_notifications_run_or_about"), "notifications", type_="check")
    op.drop_constraint(op.f("uq_notifications_about_event"), "notifications", type_="unique")
    op.drop_column("notifications", "about")
    op.alter_column("notifications", "run_id", existing_type=sa.BigInteger(), nullable=False)
