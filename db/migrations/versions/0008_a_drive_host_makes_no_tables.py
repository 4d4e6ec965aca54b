"""a drive host makes no tables: the place for a set's files is made by a function of the owner"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without a percent sign: printed as a script, for a dump, it would be doubled.
    op.execute(
        r"""
        CREATE FUNCTION add_partition_of_files(of_set text) RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM backup_sets WHERE id = of_set) OR of_set !~ '^[0-9TZ]+-[0-9a-f]+$' THEN
                RAISE EXCEPTION USING MESSAGE = 'there is no set ' || of_set;
            END IF;
            EXECUTE 'CREATE TABLE ' || quote_ident('backup_files_' || lower(of_set))
                || ' PARTITION OF backup_files FOR VALUES IN (' || quote_literal(of_set) || ')';
        END
        $$
        """
    )
    op.execute("REVOKE ALL ON FUNCTION add_partition_of_files(text) FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION add_partition_of_files(text)")
