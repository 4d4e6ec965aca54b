"""what grows with the years is found by an index: the sets of a template, the messages of these days"""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_backup_sets_template_id", "backup_sets", ["template_id", "started_at"])
    op.create_index("ix_notifications_created_at", "notifications", ["created_at"])


def downgrade() -> None:
    op.drop_index("ix_notifications_created_at", "notifications")
    op.drop_index("ix_backup_sets_template_id", "backup_sets")
