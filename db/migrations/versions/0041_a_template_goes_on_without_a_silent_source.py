"""a template says whether a run goes on without a source that does not answer"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "backup_tasks", sa.Column("on_silent_source", sa.Text(), server_default="fail", nullable=False)
    )
    op.create_check_constraint(
        op.f("ck_backup_tasks_on_silent_source_known"),
        "backup_tasks",
        "on_silent_source in ('fail', 'continue')",
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_backup_tasks_on_silent_source_known"), "backup_tasks", type_="check")
    op.drop_column("backup_tasks", "on_silent_source")
