"""beat finds by an index which schedules are due, were edited, or were planned by a clock that was ahead"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

EDITED = (
    "planned_from::jsonb is distinct from"
    " plan_of(schedule_type, schedule_config, time_zone, tape_policy, enabled and archived_at is null)"
)


def upgrade() -> None:
    # What beat plans from; jsonb_build_array itself is not for an index, because it takes any type.
    op.execute(
        """
        CREATE FUNCTION plan_of(type text, config jsonb, zone text, policy text, is_on boolean) RETURNS jsonb
        LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
        $$ SELECT pg_catalog.jsonb_build_array(type, config, zone, policy, is_on) $$
        """
    )
    op.add_column("scheduled_tasks", sa.Column("planned_after", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_scheduled_tasks_next_run_time", "scheduled_tasks", ["next_run_time"])
    op.create_index("ix_scheduled_tasks_planned_after", "scheduled_tasks", ["planned_after"])
    op.create_index("ix_scheduled_tasks_edited", "scheduled_tasks", ["id"], postgresql_where=sa.text(EDITED))


def downgrade() -> None:
    for name in ("edited", "planned_after", "next_run_time"):
        op.drop_index(f"ix_scheduled_tasks_{name}", "scheduled_tasks")
    op.drop_column("scheduled_tasks", "planned_after")
    op.execute("DROP FUNCTION plan_of(text, jsonb, text, text, boolean)")
