"""templates name commands of the drive's host, and a run knows what it owes of them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

NAMES = ("checks", "before", "after")


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    empty = sa.text("'[]'::jsonb")
    json = postgresql.JSONB(astext_type=sa.Text())
    for name in NAMES:
        op.add_column("backup_tasks", sa.Column(name, json, server_default=empty, nullable=False))
    op.add_column(
        "drive_checks", sa.Column("commands", json, server_default=sa.text("'{}'::jsonb"), nullable=False)
    )
    op.create_table(
        "command_brackets",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("drive", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("exclusive", json, server_default=empty, nullable=False),
        sa.Column("owed", json, server_default=empty, nullable=False),
        sa.Column("begun_at", moment, nullable=False),
        sa.Column("ready_at", moment, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("closed_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_command_brackets")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["chain_runs.id"], name=op.f("fk_command_brackets_run_id"), ondelete="CASCADE"
        ),
    )
    op.create_index(
        "ix_command_brackets_open",
        "command_brackets",
        ["drive"],
        postgresql_where=sa.text("closed_at is null"),
    )


def downgrade() -> None:
    op.drop_table("command_brackets")
    op.drop_column("drive_checks", "commands")
    for name in NAMES:
        op.drop_column("backup_tasks", name)
