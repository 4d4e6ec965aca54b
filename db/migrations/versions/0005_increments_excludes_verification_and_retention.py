"""increments, excludes, verification, retention by number, encryption"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_JSON = postgresql.JSONB(astext_type=sa.Text())

# Table, column, constraint, the values before, and those that are added.
_STEPS = ("precheck", "create_record", "format_tape", "update_label", "run_backup", "restore", "notify")
_ENUMS = (
    ("backup_tasks", "type", "backup_type", ("full",), ("incremental", "differential")),
    ("backup_sets", "type", "set_type", ("full",), ("incremental", "differential")),
    ("chain_runs", "kind", "run_kind", ("backup", "restore"), ("verify", "import")),
    ("chain_steps", "step", "step_name", _STEPS, ("verify", "import_tape")),
    ("run_events", "step", "event_step", _STEPS, ("verify", "import_tape")),
)


def _values(table: str, column: str, constraint: str, values: tuple[str, ...]) -> None:
    """Let a column hold exactly these values."""
    op.drop_constraint(op.f(f"ck_{table}_{constraint}"), table, type_="check")
    listed = ", ".join(f"'{value}'" for value in values)
    op.create_check_constraint(op.f(f"ck_{table}_{constraint}"), table, f"{column} in ({listed})")


def upgrade() -> None:
    for table, column, constraint, before, added in _ENUMS:
        _values(table, column, constraint, (*before, *added))
    op.add_column(
        "backup_files", sa.Column("partial", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    for column in (
        sa.Column("parent_id", sa.Text(), nullable=True),
        sa.Column("deleted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("encrypted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("keep_sets", sa.Integer(), nullable=True),
        sa.Column("expired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verified_percent", sa.Integer(), nullable=True),
        sa.Column("damaged", sa.Integer(), nullable=True),
    ):
        op.add_column("backup_sets", column)
    op.create_foreign_key(
        op.f("fk_backup_sets_parent_id"), "backup_sets", "backup_sets", ["parent_id"], ["id"]
    )
    op.create_index(op.f("ix_backup_sets_parent_id"), "backup_sets", ["parent_id"])
    for column in (
        sa.Column("keep_sets", sa.Integer(), nullable=True),
        sa.Column("excludes", _JSON, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("exclude_caches", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("one_file_system", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("max_file_bytes", sa.BigInteger(), nullable=True),
        sa.Column("max_file_age_days", sa.Integer(), nullable=True),
        sa.Column("verify_percent", sa.Integer(), nullable=True),
        sa.Column("encrypt_to", _JSON, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("parent_id", sa.Text(), nullable=True),
    ):
        op.add_column("backup_tasks", column)
    op.create_foreign_key(
        op.f("fk_backup_tasks_parent_id"), "backup_tasks", "backup_sets", ["parent_id"], ["id"]
    )
    op.create_check_constraint(op.f("ck_backup_tasks_keep_sets_positive"), "backup_tasks", "keep_sets > 0")
    op.create_check_constraint(
        op.f("ck_backup_tasks_verify_percent_known"), "backup_tasks", "verify_percent between 1 and 100"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_backup_tasks_verify_percent_known"), "backup_tasks", type_="check")
    op.drop_constraint(op.f("ck_backup_tasks_keep_sets_positive"), "backup_tasks", type_="check")
    op.drop_constraint(op.f("fk_backup_tasks_parent_id"), "backup_tasks", type_="foreignkey")
    for column in (
        "parent_id", "encrypt_to", "verify_percent", "max_file_age_days", "max_file_bytes", "one_file_system",
        "exclude_caches", "excludes", "keep_sets",
    ):  # fmt: skip
        op.drop_column("backup_tasks", column)
    op.drop_index(op.f("ix_backup_sets_parent_id"), table_name="backup_sets")
    op.drop_constraint(op.f("fk_backup_sets_parent_id"), "backup_sets", type_="foreignkey")
    for column in (
        "damaged", "verified_percent", "verified_at", "expired_at", "keep_sets", "encrypted", "deleted",
        "parent_id",
    ):  # fmt: skip
        op.drop_column("backup_sets", column)
    op.drop_column("backup_files", "partial")
    for table, column, constraint, before, _added in _ENUMS:
        _values(table, column, constraint, before)
