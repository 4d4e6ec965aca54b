"""a template says what shows that a file has changed"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("backup_tasks", sa.Column("detect", sa.Text(), server_default="auto", nullable=False))
    op.create_check_constraint(
        op.f("ck_backup_tasks_detect_known"),
        "backup_tasks",
        "detect in ('auto', 'ctime+mtime+size+inode', 'ctime+mtime+size', 'mtime+size+inode', 'mtime+size')",
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_backup_tasks_detect_known"), "backup_tasks", type_="check")
    op.drop_column("backup_tasks", "detect")
