"""the tables of the first version"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "backup_files",
        sa.Column("set_id", sa.Text(), nullable=False),
        sa.Column("archive", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("raw_path", sa.LargeBinary(), nullable=True),
        sa.Column("type", sa.String(length=8), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("ctime_ns", sa.BigInteger(), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=False),
        sa.Column("blake3", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("set_id", "archive", "position", name=op.f("pk_backup_files")),
        postgresql_partition_by="LIST (set_id)",
    )
    op.create_index(
        "ix_backup_files_path",
        "backup_files",
        [sa.literal_column('"left"(path, 255)').label("head")],
        unique=False,
        postgresql_ops={"head": "text_pattern_ops"},
    )
    op.create_table(
        "backup_tasks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("is_template", sa.Boolean(), nullable=False),
        sa.Column("template_id", sa.BigInteger(), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "type",
            sa.Enum("full", name="backup_type", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("sources", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("compression", sa.Text(), server_default="zstd", nullable=False),
        sa.Column("compression_level", sa.Integer(), server_default="3", nullable=False),
        sa.Column("archive_bytes", sa.BigInteger(), server_default=sa.text("4294967296"), nullable=False),
        sa.Column("retention_days", sa.Integer(), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "PENDING",
                "RUNNING",
                "COMPLETED",
                "FAILED",
                name="record_state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=True,
        ),
        sa.Column("error", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("compression in ('none', 'zstd')", name=op.f("ck_backup_tasks_compression_known")),
        sa.CheckConstraint("is_template = (run_id is null)", name=op.f("ck_backup_tasks_record_has_run")),
        sa.ForeignKeyConstraint(
            ["template_id"], ["backup_tasks.id"], name=op.f("fk_backup_tasks_template_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backup_tasks")),
        sa.UniqueConstraint("run_id", name=op.f("uq_backup_tasks_run_id")),
    )
    op.create_index(
        "uq_backup_tasks_template_name",
        "backup_tasks",
        ["name"],
        unique=True,
        postgresql_where=sa.text("is_template"),
    )
    op.create_table(
        "drives",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("driver", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("medium", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("medium_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_drives")),
    )
    op.create_table(
        "tape_pools",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tape_pools")),
        sa.UniqueConstraint("name", name=op.f("uq_tape_pools_name")),
    )
    op.create_table(
        "scheduled_tasks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("template_id", sa.BigInteger(), nullable=False),
        sa.Column("drive", sa.Text(), nullable=False),
        sa.Column(
            "schedule_type",
            sa.Enum(
                "once",
                "interval",
                "daily",
                "weekly",
                "monthly",
                "yearly",
                "cron",
                name="schedule_type",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("schedule_config", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column("tape_policy", sa.Text(), server_default="current_month", nullable=False),
        sa.Column("unreadable_label", sa.Text(), server_default="refuse", nullable=False),
        sa.Column("on_format_failure", sa.Text(), server_default="continue", nullable=False),
        sa.Column("wait_for_tape_seconds", sa.Integer(), nullable=True),
        sa.Column("last_run_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_success_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_failure_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_run_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "on_format_failure in ('continue', 'fail')",
            name=op.f("ck_scheduled_tasks_on_format_failure_known"),
        ),
        sa.CheckConstraint(
            "unreadable_label in ('refuse', 'continue')",
            name=op.f("ck_scheduled_tasks_unreadable_label_known"),
        ),
        sa.ForeignKeyConstraint(
            ["template_id"], ["backup_tasks.id"], name=op.f("fk_scheduled_tasks_template_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scheduled_tasks")),
        sa.UniqueConstraint("name", name=op.f("uq_scheduled_tasks_name")),
    )
    op.create_table(
        "tape_cartridges",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tape_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "active",
                "full",
                "unknown",
                "retired",
                "error",
                name="cartridge_state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("pool_id", sa.BigInteger(), nullable=True),
        sa.Column("volume_uuid", sa.Text(), nullable=True),
        sa.Column("serial", sa.Text(), nullable=True),
        sa.Column("medium_serial", sa.Text(), nullable=True),
        sa.Column("barcode", sa.Text(), nullable=True),
        sa.Column("capacity", sa.BigInteger(), nullable=True),
        sa.Column("bytes_used", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("formatted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["pool_id"], ["tape_pools.id"], name=op.f("fk_tape_cartridges_pool_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tape_cartridges")),
        sa.UniqueConstraint("medium_serial", name=op.f("uq_tape_cartridges_medium_serial")),
        sa.UniqueConstraint("tape_id", name=op.f("uq_tape_cartridges_tape_id")),
        sa.UniqueConstraint("volume_uuid", name=op.f("uq_tape_cartridges_volume_uuid")),
    )
    op.create_index(op.f("ix_tape_cartridges_label"), "tape_cartridges", ["label"], unique=False)
    op.create_table(
        "chain_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "backup", "restore", name="run_kind", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column("schedule_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "trigger",
            sa.Enum(
                "schedule", "manual", name="run_trigger", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column("requested_by", sa.Text(), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "QUEUED",
                "RUNNING",
                "WAITING_FOR_TAPE",
                "SUCCEEDED",
                "FAILED",
                "SKIPPED",
                "CANCELLED",
                name="run_state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("reason", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("drive", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period", sa.Text(), nullable=True),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("part", sa.Integer(), server_default="1", nullable=False),
        sa.Column("dispatch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recoveries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("set_id", sa.Text(), nullable=True),
        sa.Column("progress", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("tape_seen", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("wait_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("queued_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["scheduled_tasks.id"], name=op.f("fk_chain_runs_schedule_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain_runs")),
        sa.UniqueConstraint("schedule_id", "due_at", name=op.f("uq_chain_runs_schedule_id_due_at")),
    )
    op.create_index(
        "ix_chain_runs_queue",
        "chain_runs",
        ["drive", "queued_at"],
        unique=False,
        postgresql_where=sa.text("state = 'QUEUED'"),
    )
    op.create_index(
        "uq_chain_runs_active_schedule",
        "chain_runs",
        ["schedule_id"],
        unique=True,
        postgresql_where=sa.text("state in ('QUEUED', 'RUNNING', 'WAITING_FOR_TAPE')"),
    )
    op.create_index(
        "uq_chain_runs_running_drive",
        "chain_runs",
        ["drive"],
        unique=True,
        postgresql_where=sa.text("state = 'RUNNING'"),
    )
    op.create_table(
        "backup_sets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("template_id", sa.BigInteger(), nullable=True),
        sa.Column("cartridge_id", sa.BigInteger(), nullable=True),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "type",
            sa.Enum("full", name="set_type", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "writing",
                "complete",
                "incomplete",
                "destroyed",
                name="set_state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("period", sa.Text(), nullable=True),
        sa.Column("sources", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("files", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("warnings", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retention_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("destroyed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["cartridge_id"], ["tape_cartridges.id"], name=op.f("fk_backup_sets_cartridge_id")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["chain_runs.id"], name=op.f("fk_backup_sets_run_id")),
        sa.ForeignKeyConstraint(
            ["template_id"], ["backup_tasks.id"], name=op.f("fk_backup_sets_template_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backup_sets")),
        sa.UniqueConstraint("run_id", name=op.f("uq_backup_sets_run_id")),
    )
    op.create_index(op.f("ix_backup_sets_cartridge_id"), "backup_sets", ["cartridge_id"], unique=False)
    op.create_table(
        "chain_steps",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column(
            "step",
            sa.Enum(
                "precheck",
                "create_record",
                "format_tape",
                "update_label",
                "run_backup",
                "restore",
                "notify",
                name="step_name",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "PENDING",
                "RUNNING",
                "SUCCEEDED",
                "SKIPPED",
                "FAILED",
                name="step_state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("dispatch", sa.Integer(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"], ["chain_runs.id"], name=op.f("fk_chain_steps_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "part", "step", name=op.f("pk_chain_steps")),
    )
    op.create_table(
        "format_permits",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("cartridge_id", sa.BigInteger(), nullable=True),
        sa.Column("drive", sa.Text(), nullable=False),
        sa.Column("identity", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("allowed", sa.Boolean(), nullable=False),
        sa.Column("denials", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reasons", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("sets_lost", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("consumed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("outcome_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "consumed_at is null or allowed", name=op.f("ck_format_permits_only_allowed_is_consumed")
        ),
        sa.ForeignKeyConstraint(
            ["cartridge_id"], ["tape_cartridges.id"], name=op.f("fk_format_permits_cartridge_id")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["chain_runs.id"], name=op.f("fk_format_permits_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_format_permits")),
    )
    op.create_index(
        "uq_format_permits_consumed",
        "format_permits",
        ["run_id", "part"],
        unique=True,
        postgresql_where=sa.text("consumed_at is not null"),
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("occurrence", sa.Integer(), nullable=False),
        sa.Column("facts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deliveries", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"], ["chain_runs.id"], name=op.f("fk_notifications_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        sa.UniqueConstraint(
            "run_id", "event", "occurrence", name=op.f("uq_notifications_run_id_event_occurrence")
        ),
    )
    op.create_index(
        "ix_notifications_due",
        "notifications",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("next_attempt_at is not null"),
    )
    op.create_table(
        "run_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column(
            "step",
            sa.Enum(
                "precheck",
                "create_record",
                "format_tape",
                "update_label",
                "run_backup",
                "restore",
                "notify",
                name="event_step",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=True,
        ),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("level", sa.String(length=8), nullable=False),
        sa.Column("message", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["chain_runs.id"], name=op.f("fk_run_events_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_events")),
    )
    op.create_index(op.f("ix_run_events_run_id"), "run_events", ["run_id"], unique=False)
    op.create_table(
        "backup_archives",
        sa.Column("set_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("cartridge_id", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("content_bytes", sa.BigInteger(), nullable=False),
        sa.Column("record", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["cartridge_id"], ["tape_cartridges.id"], name=op.f("fk_backup_archives_cartridge_id")
        ),
        sa.ForeignKeyConstraint(
            ["set_id"], ["backup_sets.id"], name=op.f("fk_backup_archives_set_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("set_id", "number", name=op.f("pk_backup_archives")),
    )
    op.create_index(
        op.f("ix_backup_archives_cartridge_id"), "backup_archives", ["cartridge_id"], unique=False
    )
    # Runs, schedules and records point at each other, so this one comes last.
    op.create_foreign_key("fk_backup_tasks_run_id", "backup_tasks", "chain_runs", ["run_id"], ["id"])


def downgrade() -> None:
    op.drop_constraint("fk_backup_tasks_run_id", "backup_tasks", type_="foreignkey")
    op.drop_index(op.f("ix_backup_archives_cartridge_id"), table_name="backup_archives")
    op.drop_table("backup_archives")
    op.drop_index(op.f("ix_run_events_run_id"), table_name="run_events")
    op.drop_table("run_events")
    op.drop_index(
        "ix_notifications_due",
        table_name="notifications",
        postgresql_where=sa.text("next_attempt_at is not null"),
    )
    op.drop_table("notifications")
    op.drop_index(
        "uq_format_permits_consumed",
        table_name="format_permits",
        postgresql_where=sa.text("consumed_at is not null"),
    )
    op.drop_table("format_permits")
    op.drop_table("chain_steps")
    op.drop_index(op.f("ix_backup_sets_cartridge_id"), table_name="backup_sets")
    op.drop_table("backup_sets")
    op.drop_index(
        "uq_chain_runs_running_drive", table_name="chain_runs", postgresql_where=sa.text("state = 'RUNNING'")
    )
    op.drop_index(
        "uq_chain_runs_active_schedule",
        table_name="chain_runs",
        postgresql_where=sa.text("state in ('QUEUED', 'RUNNING', 'WAITING_FOR_TAPE')"),
    )
    op.drop_index(
        "ix_chain_runs_queue", table_name="chain_runs", postgresql_where=sa.text("state = 'QUEUED'")
    )
    op.drop_table("chain_runs")
    op.drop_index(op.f("ix_tape_cartridges_label"), table_name="tape_cartridges")
    op.drop_table("tape_cartridges")
    op.drop_table("scheduled_tasks")
    op.drop_table("tape_pools")
    op.drop_table("drives")
    op.drop_index(
        "uq_backup_tasks_template_name", table_name="backup_tasks", postgresql_where=sa.text("is_template")
    )
    op.drop_table("backup_tasks")
    op.drop_index(
        "ix_backup_files_path", table_name="backup_files", postgresql_ops={"head": "text_pattern_ops"}
    )
    op.drop_table("backup_files")
