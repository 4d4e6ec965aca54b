"""an archive has copies on other tapes"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "archive_copies",
        sa.Column("set_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("cartridge_id", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("copied_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["cartridge_id"],
            ["tape_cartridges.id"],
            name=op.f("fk_archive_copies_cartridge_id"),
        ),
        sa.ForeignKeyConstraint(
            ["set_id", "number"],
            ["backup_archives.set_id", "backup_archives.number"],
            name=op.f("fk_archive_copies_set_id_number"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "set_id", "number", "cartridge_id", "generation", name=op.f("pk_archive_copies")
        ),
    )
    op.create_index(
        "ix_archive_copies_cartridge_id", "archive_copies", ["cartridge_id", "generation", "copied_at"]
    )


def downgrade() -> None:
    op.drop_table("archive_copies")
