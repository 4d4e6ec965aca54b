"""runs and schedules know the database that they belong to: a copy of it starts nothing by itself"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TABLES = ("chain_runs", "scheduled_tasks")


def upgrade() -> None:
    # The server, the database on it, and the table: whatever makes a copy makes at least one of them anew.
    op.execute(
        """
        CREATE FUNCTION database_home() RETURNS text
        LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
            SELECT concat_ws(
                '.',
                (SELECT system_identifier FROM pg_control_system()),
                (SELECT oid FROM pg_database WHERE datname = current_database()),
                to_regclass('chain_runs')::oid
            )
        $$
        """
    )
    for table in TABLES:
        op.add_column(
            table, sa.Column("home", sa.Text(), server_default=sa.text("database_home()"), nullable=False)
        )


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "home")
    op.execute("DROP FUNCTION database_home()")
