"""sets know the name of their template: a tape may be imported before its schedule is there"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("backup_sets", sa.Column("template_name", sa.Text(), nullable=True))
    op.execute(
        "UPDATE backup_sets SET template_name = named.name FROM backup_tasks named"
        " WHERE named.id = backup_sets.template_id"
    )


def downgrade() -> None:
    op.drop_column("backup_sets", "template_name")
