"""what a run notes for its later parts stands apart from what it was given by hand"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_MOVE = """
    UPDATE chain_runs SET
        options = options - '{erase_sets,cartridges,damaged,next_tape}'::text[],
        notes = (
            SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(options)
            WHERE key IN ('erase_sets', 'cartridges', 'damaged', 'next_tape') AND value <> 'null'
        )
"""
# What has its default is left out: two restores are the same with and without an empty list.
_SHORTEN = """
    UPDATE chain_runs SET options = (
        SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(options)
        WHERE value NOT IN ('null', '[]', 'false')
    )
"""
_BACK = """
    UPDATE chain_runs SET options = CASE kind
        WHEN 'restore' THEN '{"paths": [], "overwrite": false}'::jsonb
        WHEN 'verify' THEN '{"percent": 100, "cartridges": []}'::jsonb
        ELSE '{}'::jsonb
    END || options || notes
"""


def upgrade() -> None:
    op.add_column(
        "chain_runs",
        sa.Column(
            "notes",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
    )
    op.execute(_MOVE)
    op.execute(_SHORTEN)


def downgrade() -> None:
    op.execute(_BACK)
    op.drop_column("chain_runs", "notes")
