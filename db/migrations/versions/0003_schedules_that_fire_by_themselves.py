"""Schedules that fire by themselves: grace, plan, removal, and the type that is run by hand alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None

TYPES = ("once", "interval", "daily", "weekly", "monthly", "yearly", "cron")


def upgrade() -> None:
    op.add_column(
        "scheduled_tasks", sa.Column("grace_seconds", sa.Integer(), server_default="43200", nullable=False)
    )
    op.add_column("scheduled_tasks", sa.Column("planned_from", sa.Text(), nullable=True))
    op.add_column(
        "scheduled_tasks", sa.Column("plan_error", postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    )
    op.add_column("scheduled_tasks", sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f("ck_scheduled_tasks_grace_is_a_minute"), "scheduled_tasks", "grace_seconds >= 60"
    )
    _allow(*TYPES, "manual")
    # Until now every run was started by hand; what names no time goes on like that.
    op.execute("UPDATE scheduled_tasks SET schedule_type = 'manual' WHERE schedule_config = '{}'")


def downgrade() -> None:
    op.execute("UPDATE scheduled_tasks SET schedule_type = 'monthly' WHERE schedule_type = 'manual'")
    _allow(*TYPES)
    op.drop_constraint(op.f("ck_scheduled_tasks_grace_is_a_minute"), "scheduled_tasks")
    for column in ("archived_at", "plan_error", "planned_from", "grace_seconds"):
        op.drop_column("scheduled_tasks", column)


def _allow(*types: str) -> None:
    name = op.f("ck_scheduled_tasks_schedule_type")
    op.drop_constraint(name, "scheduled_tasks")
    listed = ", ".join(f"'{each}'" for each in types)
    op.create_check_constraint(name, "scheduled_tasks", f"schedule_type IN ({listed})")
