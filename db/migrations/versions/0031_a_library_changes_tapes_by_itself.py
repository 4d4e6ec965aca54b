"""a library changes tapes by itself: what is where, each move before it is made, what a run has fetched"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    json = postgresql.JSONB(astext_type=sa.Text())
    op.create_table(
        "libraries",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("driver", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("drives", json, nullable=False),
        sa.Column("clean_with", sa.Text(), nullable=False),
        sa.Column("cleaners", json, nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("inventory", json, nullable=False),
        sa.Column("read_at", moment, nullable=False),
        sa.Column("old", json, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_libraries")),
    )
    op.create_table(
        "library_moves",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("library", sa.Text(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("source", sa.BigInteger(), nullable=False),
        sa.Column("target", sa.BigInteger(), nullable=False),
        sa.Column("barcode", sa.Text(), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("begun_at", moment, nullable=False),
        sa.Column("ended_at", moment, nullable=True),
        sa.Column("outcome", json, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_library_moves")),
        sa.ForeignKeyConstraint(["library"], ["libraries.name"], name=op.f("fk_library_moves_library")),
        sa.ForeignKeyConstraint(["run_id"], ["chain_runs.id"], name=op.f("fk_library_moves_run_id")),
    )
    op.create_index(
        "uq_library_moves_open",
        "library_moves",
        ["library"],
        unique=True,
        postgresql_where=sa.text("ended_at is null"),
    )
    op.add_column("drives", sa.Column("clean_after", sa.BigInteger(), nullable=True))
    op.add_column("tape_cartridges", sa.Column("seen", json, nullable=True))
    op.add_column(
        "chain_runs",
        sa.Column("fetched", json, nullable=False, server_default=sa.text("'[]'::jsonb")),
    )
    _after_run("'keep', 'eject', 'export'")


def _after_run(values: str) -> None:
    op.drop_constraint(op.f("ck_scheduled_tasks_after_run_known"), "scheduled_tasks", type_="check")
    op.create_check_constraint("after_run_known", "scheduled_tasks", f"after_run in ({values})")


def downgrade() -> None:
    op.execute("UPDATE scheduled_tasks SET after_run = 'eject' WHERE after_run = 'export'")
    _after_run("'keep', 'eject'")
    op.drop_column("chain_runs", "fetched")
    op.drop_column("tape_cartridges", "seen")
    op.drop_column("drives", "clean_after")
    op.drop_table("library_moves")
    op.drop_table("libraries")
