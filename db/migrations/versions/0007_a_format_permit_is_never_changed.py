"""a format permit is never changed but for its use and its outcome, each of them once"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# What a permit says is an audit trail: not even somebody with SQL changes it by mistake.
GUARD = """
CREATE FUNCTION keep_format_permit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE'
       AND to_jsonb(NEW) - '{consumed_at,outcome,outcome_at}'::text[]
         = to_jsonb(OLD) - '{consumed_at,outcome,outcome_at}'::text[]
       AND (OLD.consumed_at IS NULL OR NEW.consumed_at IS NOT DISTINCT FROM OLD.consumed_at)
       AND (OLD.outcome IS NULL OR NEW.outcome IS NOT DISTINCT FROM OLD.outcome)
       AND (OLD.outcome_at IS NULL OR NEW.outcome_at IS NOT DISTINCT FROM OLD.outcome_at)
       AND (NEW.outcome IS NULL OR NEW.consumed_at IS NOT NULL)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'format_permits is an audit trail: a permit gets its use and its outcome, once each';
END
$$
"""


def upgrade() -> None:
    op.add_column("tape_cartridges", sa.Column("permit_id", sa.BigInteger(), nullable=True))
    op.execute(GUARD)
    op.execute(
        "CREATE TRIGGER keep_format_permit BEFORE UPDATE OR DELETE ON format_permits"
        " FOR EACH ROW EXECUTE FUNCTION keep_format_permit()"
    )
    op.execute(
        "CREATE TRIGGER keep_format_permits BEFORE TRUNCATE ON format_permits"
        " FOR EACH STATEMENT EXECUTE FUNCTION keep_format_permit()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER keep_format_permits ON format_permits")
    op.execute("DROP TRIGGER keep_format_permit ON format_permits")
    op.execute("DROP FUNCTION keep_format_permit()")
    op.drop_column("tape_cartridges", "permit_id")
