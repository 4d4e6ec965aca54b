"""pages and commands read no history: indexes find the newest run of a schedule, and what keeps a tape"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

NAMES = {
    "ix_backup_sets_cartridge_id": ("backup_sets", ["cartridge_id", "generation", "started_at"], None),
    "ix_backup_sets_kept_on": ("backup_sets", ["cartridge_id", "generation", "retention_until"], None),
    "ix_backup_sets_damaged": ("backup_sets", ["id"], "damaged > 0"),
    "ix_backup_sets_astray": ("backup_sets", ["id"], "parent_id is null and type <> 'full'"),
    "ix_backup_archives_cartridge_id": ("backup_archives", ["cartridge_id", "generation", "sealed_at"], None),
    "ix_chain_runs_schedule_id": ("chain_runs", ["schedule_id", "state", "id"], None),
    "ix_chain_runs_failed": ("chain_runs", ["schedule_id", "id"], "state = 'FAILED'"),
    "ix_chain_runs_dismissed": ("chain_runs", ["schedule_id", "due_at"], "dismissed_at is not null"),
}


def upgrade() -> None:
    op.drop_index("ix_backup_sets_cartridge_id", "backup_sets")
    op.drop_index("ix_backup_archives_cartridge_id", "backup_archives")
    for name, (table, columns, where) in NAMES.items():
        op.create_index(name, table, columns, postgresql_where=sa.text(where) if where else None)
    op.create_index(
        "ix_backup_archives_sealed_at", "backup_archives", ["sealed_at"], postgresql_include=["bytes"]
    )


def downgrade() -> None:
    op.drop_index("ix_backup_archives_sealed_at", "backup_archives")
    for name, (table, _, _) in NAMES.items():
        op.drop_index(name, table)
    op.create_index("ix_backup_archives_cartridge_id", "backup_archives", ["cartridge_id"])
    op.create_index("ix_backup_sets_cartridge_id", "backup_sets", ["cartridge_id"])
