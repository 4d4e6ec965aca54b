"""a drive knows the run whose tape comes out when nothing is queued for it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("drives", sa.Column("eject_after", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("drives", "eject_after")
