"""a set is copied to another tape"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None

_STEPS = (
    "precheck", "create_record", "format_tape", "update_label", "run_backup", "restore", "notify", "verify",
    "import_tape",
)  # fmt: skip
_ENUMS = (
    ("chain_runs", "kind", "run_kind", ("backup", "restore", "verify", "import"), ("copy",)),
    ("chain_steps", "step", "step_name", _STEPS, ("read_set", "write_copy")),
    ("run_events", "step", "event_step", _STEPS, ("read_set", "write_copy")),
)


def _values(table: str, column: str, constraint: str, values: tuple[str, ...]) -> None:
    """Let a column hold exactly these values."""
    op.drop_constraint(op.f(f"ck_{table}_{constraint}"), table, type_="check")
    listed = ", ".join(f"'{value}'" for value in values)
    op.create_check_constraint(op.f(f"ck_{table}_{constraint}"), table, f"{column} in ({listed})")


def upgrade() -> None:
    for table, column, constraint, before, added in _ENUMS:
        _values(table, column, constraint, (*before, *added))
    op.add_column("archive_copies", sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("archive_copies", sa.Column("damaged", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("archive_copies", "damaged")
    op.drop_column("archive_copies", "verified_at")
    # The version before knows no run of this kind; what was copied stays in the catalogue.
    op.execute(
        "UPDATE chain_runs SET state = 'FAILED', finished_at = now()"
        " WHERE kind = 'copy' AND state IN ('QUEUED', 'RUNNING', 'WAITING_FOR_TAPE', 'HELD')"
    )
    op.execute("UPDATE chain_runs SET kind = 'import' WHERE kind = 'copy'")
    op.execute("DELETE FROM chain_steps WHERE step IN ('read_set', 'write_copy')")
    op.execute("UPDATE run_events SET step = NULL WHERE step IN ('read_set', 'write_copy')")
    for table, column, constraint, before, _added in _ENUMS:
        _values(table, column, constraint, before)
