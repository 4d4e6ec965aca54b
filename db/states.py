"""The states of runs, steps and records, and the permitted transitions: data, in one place."""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    """The state of a run."""

    QUEUED = "QUEUED"
    """It exists and waits for its drive to be free; for the window of its schedule to open, before it has
    begun or paused; or for a schedule that it follows. Its reason says so, with ``opens_at``, ``awaits``."""
    RUNNING = "RUNNING"
    """It has its drive and its chain has been sent."""
    WAITING_FOR_TAPE = "WAITING_FOR_TAPE"
    """It asked for another tape and gave its drive back."""
    HELD = "HELD"
    """Its sources are not as they were; it gave its drive back, and a person has to accept them."""
    SUCCEEDED = "SUCCEEDED"
    """Everything is on tape, sealed and catalogued; perhaps with warnings."""
    FAILED = "FAILED"
    """It ended without its result; an operator may retry it."""
    SKIPPED = "SKIPPED"
    """There was nothing to do, for the given reason. Never a success."""
    CANCELLED = "CANCELLED"
    """An operator cancelled it, and may take it up again."""


TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.FAILED, RunState.CANCELLED, RunState.SKIPPED}),
    RunState.RUNNING: frozenset(
        {
            RunState.SUCCEEDED,
            RunState.FAILED,
            RunState.SKIPPED,
            RunState.CANCELLED,
            RunState.WAITING_FOR_TAPE,
            RunState.HELD,
            RunState.QUEUED,
        }
    ),
    RunState.WAITING_FOR_TAPE: frozenset({RunState.QUEUED, RunState.FAILED, RunState.CANCELLED}),
    RunState.HELD: frozenset({RunState.QUEUED, RunState.FAILED, RunState.CANCELLED}),
    RunState.FAILED: frozenset({RunState.QUEUED}),
    RunState.SUCCEEDED: frozenset(),
    RunState.SKIPPED: frozenset(),
    RunState.CANCELLED: frozenset({RunState.QUEUED}),
}

ACTIVE = frozenset({RunState.QUEUED, RunState.RUNNING, RunState.WAITING_FOR_TAPE, RunState.HELD})
ENDED = frozenset(RunState) - ACTIVE


class StepState(StrEnum):
    """The state of a step of a part."""

    PENDING = "PENDING"
    """Nobody has claimed it."""
    RUNNING = "RUNNING"
    """A worker has claimed it; its heartbeat shows whether that worker lives."""
    SUCCEEDED = "SUCCEEDED"
    """Done, its result committed."""
    SKIPPED = "SKIPPED"
    """Not needed, for the given reason; the run continues."""
    FAILED = "FAILED"
    """It ended with an error."""


PASSED = frozenset({StepState.SUCCEEDED, StepState.SKIPPED})


class RecordState(StrEnum):
    """The state of the execution record of a backup."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class Kind(StrEnum):
    """The purpose of a run; decides its steps."""

    BACKUP = "backup"
    RESTORE = "restore"
    VERIFY = "verify"
    IMPORT = "import"
    COPY = "copy"


WRITING = frozenset({Kind.BACKUP, Kind.COPY})
"""The kinds of runs that write to a tape, and may format one; the others only read."""


class Step(StrEnum):
    """The steps, named as operators see them."""

    PRECHECK = "precheck"
    CREATE_RECORD = "create_record"
    FORMAT_TAPE = "format_tape"
    UPDATE_LABEL = "update_label"
    RUN_BACKUP = "run_backup"
    RESTORE = "restore"
    VERIFY = "verify"
    IMPORT_TAPE = "import_tape"
    READ_SET = "read_set"
    WRITE_COPY = "write_copy"
    NOTIFY = "notify"


STEPS: dict[Kind, tuple[Step, ...]] = {
    Kind.BACKUP: (
        Step.PRECHECK,
        Step.CREATE_RECORD,
        Step.FORMAT_TAPE,
        Step.UPDATE_LABEL,
        Step.RUN_BACKUP,
        Step.NOTIFY,
    ),
    Kind.RESTORE: (Step.PRECHECK, Step.RESTORE, Step.NOTIFY),
    Kind.VERIFY: (Step.PRECHECK, Step.VERIFY, Step.NOTIFY),
    Kind.IMPORT: (Step.PRECHECK, Step.IMPORT_TAPE, Step.NOTIFY),
    # The first parts read, the last one writes.
    Kind.COPY: (
        Step.PRECHECK,
        Step.READ_SET,
        Step.FORMAT_TAPE,
        Step.UPDATE_LABEL,
        Step.WRITE_COPY,
        Step.NOTIFY,
    ),
}

AT_THE_DRIVE = frozenset(Step) - {Step.CREATE_RECORD, Step.UPDATE_LABEL, Step.NOTIFY}
"""Steps that run on the tape worker; the others run on any control worker."""


class BackupType(StrEnum):
    """The type of a backup set."""

    FULL = "full"
    """Every file of the sources."""
    INCREMENTAL = "incremental"
    """What has changed since the last set of any type."""
    DIFFERENTIAL = "differential"
    """What has changed since the last full set."""


class Trigger(StrEnum):
    """Who asked for a run."""

    SCHEDULE = "schedule"
    """Beat; the period rules apply."""
    MANUAL = "manual"
    """An operator; exempt from the period check."""


PING = "ping_"
"""So begin the names of pings to a monitoring service among the channels of a message; they inform nobody."""
