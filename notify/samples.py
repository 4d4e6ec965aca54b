"""One sample of each event, to show its message."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from db.states import Kind, Trigger
from notify.events import Event
from notify.facts import Facts
from notify.report.sample import REPORT
from policy.message import M, Message

_AT = datetime(2026, 11, 30, 22, 5, tzinfo=UTC)
_DUE = datetime(2026, 12, 1, 18, 0, tzinfo=UTC)

_RUN = Facts(
    event=Event.STARTED,
    run_id=12,
    kind=Kind.BACKUP,
    trigger=Trigger.SCHEDULE,
    at=_AT,
    time_zone="Asia/Shanghai",
    schedule="monthly-full",
    drive="tape0",
    label="TP20261201",
)

_STORED = replace(
    _RUN, set_id="20261130T180002Z-9f3a", files=1_234_567, size=5_600_000_000_000, seconds=14_520
)

_STOPPED = replace(
    _RUN,
    label="TP20261101",
    seconds=12,
    newest=M(
        "{day}, on tape {tapes} (set {set})",
        day="2026-11-01",
        tapes="TP20261101",
        set="20261031T180001Z-77b0",
    ),
)

_WRONG_TAPE = M(
    "The tape in the drive is not this month's: change it and retry"
    " (in drive {drive}: {found}; expected: {expected}).",
    drive="tape0",
    found="TP20261101",
    expected=M("a blank tape, or one labelled {month}", month="TP202612xx").to_json(),
)
_UNTOUCHED = M("Nothing was written: {tape} holds what it held.", tape="TP20261101")

_DOUBT = M(
    "Of {known} files of source {source}, {count} are deleted: {share} %.",
    known="12,000",
    source="/srv/projects",
    count="9,100",
    share="76",
)
_DOUBT_WITH_NAMES = M(
    "{doubt} First: {names}",
    doubt=_DOUBT.to_json(),
    names="/srv/projects/a/plan.dwg, /srv/projects/a/plan.pdf",
)

_DRIVE = Facts(
    event=Event.DRIVE_SILENT, at=_AT, time_zone="Asia/Shanghai", drive="tape0", host="backup-01", seconds=420
)

_REMINDER = Facts(
    event=Event.REMINDER,
    at=_DUE - timedelta(days=1),
    time_zone="Asia/Shanghai",
    schedule="monthly-full",
    drive="tape0",
    due_at=_DUE,
    next_command="tapeline precheck monthly-full",
)
_SET = M(
    "set {set}, {type}, {size}, expired {until}",
    set="20251101T180003Z-51c2",
    type=M("full").to_json(),
    size="5.1 TB",
    until="2026-11-01",
)


def _warning(path: str, reason: Message) -> Message:
    return M("{path}: {reason}", path=path, reason=reason.to_json())


def _of_runs() -> list[Facts]:
    return [
        _RUN,
        replace(_STORED, event=Event.SUCCESS),
        replace(
            _STORED,
            event=Event.WARNINGS,
            warnings=2,
            first_warnings=(
                _warning(
                    "/data/mail/queue.db",
                    M("Its extended attributes could not be read: {reason}.", reason="EIO"),
                ),
                _warning(
                    "/data/new.lock", M("Not backed up: another file took its place while it was opened.")
                ),
            ),
            condition=(
                M(
                    "The drive reports for tape {tape_id}: {alert} (TapeAlert).",
                    tape_id="TP20261201",
                    alert="Clean now",
                ),
            ),
            next_command="tapeline runs show 12",
        ),
        replace(
            _STOPPED,
            event=Event.FAILED,
            reason=_WRONG_TAPE,
            remedy=M("With the right tape in the drive: tapeline runs retry {run}", run=12),
            safe=_UNTOUCHED,
            next_command="tapeline runs retry 12",
        ),
        replace(
            _STORED,
            event=Event.TAPE_ERROR,
            files=310_000,
            size=1_200_000_000_000,
            reason=M(
                "{path} cannot be written: {reason}.",
                path="sets/20261130T180002Z-9f3a/data-000291.tar.zst",
                reason="Input/output error",
            ),
            remedy=M("Do not write this tape again; what was sealed stays readable."),
            safe=M(
                "{files} files ({size}) are sealed on tape and can be restored.",
                files="310,000",
                size="1.2 TB",
            ),
            newest=_STOPPED.newest,
            next_command="tapeline schedule run monthly-full",
        ),
        replace(
            _RUN,
            event=Event.SKIPPED,
            label=None,
            reason=M(
                "Period {period} of schedule '{schedule}' has its backup already.",
                period="2026-12",
                schedule="monthly-full",
            ),
        ),
        replace(
            _RUN,
            event=Event.MISSED,
            label=None,
            reason=M(
                "It was due {due}, and nothing could start it in time.",
                due="2026-12-01 02:00 (Asia/Shanghai)",
            ),
            remedy=M("If it is still wanted, run it now: tapeline schedule run {name}", name="monthly-full"),
            newest=_STOPPED.newest,
            next_command="tapeline schedule run monthly-full",
        ),
        replace(
            _STOPPED,
            event=Event.CANCELLED,
            reason=M("Cancelled by {who}.", who="li"),
            safe=_UNTOUCHED,
            newest=None,
        ),
        replace(
            _STOPPED,
            event=Event.WAITING_FOR_TAPE,
            reason=_WRONG_TAPE,
            remedy=M(
                "Change the tape: the run goes on by itself. It waits until {until}.",
                until="2026-12-02 02:00",
            ),
            safe=_UNTOUCHED,
            next_command="tapeline drive status tape0",
        ),
        replace(
            _STOPPED,
            event=Event.HELD,
            reason=_DOUBT,
            doubts=(_DOUBT_WITH_NAMES,),
            remedy=M(
                "It is held until {until}. {remedy}",
                remedy=M(
                    "If the sources are right as they are: tapeline runs accept {run} --why TEXT."
                    " If not, put them right, then: tapeline runs retry {run}",
                    run=12,
                ).to_json(),
                until="2026-12-04 02:00",
            ),
            safe=_UNTOUCHED,
            next_command="tapeline runs accept 12 --why TEXT",
        ),
        replace(
            _RUN,
            event=Event.STALLED,
            reason=M(
                "Run {run} has come no further since {at}: it waits for {path}, which does not answer.",
                run=12,
                at="2026-12-01 03:40",
                path="/mnt/projects/plans.dwg",
            ),
            remedy=M(
                "See that the file system or share answers, or cancel: tapeline runs cancel {run}", run=12
            ),
            next_command="tapeline runs show 12",
        ),
        replace(
            _RUN,
            event=Event.FORMAT_WARNING,
            reason=M(
                "The format failed (return code {code}): asked for {label}, found {found}.",
                code="1",
                label="TP20261201",
                found="TP20261202",
            ),
            next_command="tapeline runs show 12",
        ),
        replace(
            _RUN,
            event=Event.CAPACITY,
            reason=M(
                "Tape {tape} is {percent} % full: {used} of {capacity}.",
                tape="TP20261201",
                percent=93,
                used="11.2 TB",
                capacity="12.0 TB",
            ),
            remedy=M("Have another tape ready for the next backup."),
        ),
        replace(
            _RUN,
            event=Event.SETS_LOST,
            reason=M(
                "These sets are not on tape {tape} any more: {sets}. It was formatted or changed elsewhere.",
                tape="TP20261201",
                sets="20261130T180002Z-9f3a",
            ),
            remedy=M("Find out who has changed the tape. The next backup that needs them is a full one."),
            next_command="tapeline sets list",
        ),
        replace(
            _RUN,
            event=Event.AFTER_FAILED,
            reason=M(
                "After the backup: {error}",
                error=M(
                    "Command {name} ended with code {code}: {line}",
                    name="release-snapshot",
                    code=5,
                    line="Logical volume vg0/files-tape is in use.",
                ).to_json(),
            ),
            remedy=M("Do by hand what {name} should have done on the drive's host.", name="release-snapshot"),
            next_command="tapeline runs show 12",
        ),
        replace(
            _RUN,
            event=Event.LIBRARY,
            reason=M(
                "The barcode {barcode} does not belong to the tape in the drive, which shows {tape}"
                " ({shown}).",
                barcode="TP0009L9",
                tape="TP20261201",
                shown="TP0001L9",
            ),
            remedy=M(
                "See which cartridge has the barcode {barcode}, and stick the right one on. The cartridges in"
                " question are marked 'unknown' until you decide: tapeline tape list",
                barcode="TP0009L9",
            ),
        ),
    ]


def _of_drives() -> list[Facts]:
    return [
        replace(
            _DRIVE,
            reason=M(
                "Its worker on {host} was last heard of at {moment}.",
                host="backup-01",
                moment="2026-12-01 05:58",
            ),
            safe=M("No run is under way on it."),
            remedy=M(
                "See that host {host} is up, and start the worker there: tapeline worker {queue}",
                host="backup-01",
                queue="tape",
            ),
            schedule="monthly-full",
            due_at=_DUE,
            next_command="tapeline drive status tape0",
        ),
        replace(_DRIVE, event=Event.DRIVE_BACK),
    ]


def _of_channels() -> Facts:
    return Facts(
        event=Event.CHANNEL_DOWN,
        at=_AT,
        time_zone="Asia/Shanghai",
        channel="mail",
        reason=M("Channel '{name}' is not one URL that Apprise understands.", name="mail"),
        remedy=M("Write one URL for each channel, as Apprise documents it for the service."),
        next_command="tapeline notify test --channel mail",
    )


def _of_schedules() -> list[Facts]:
    in_drive = M("{tape}, as of {moment}", tape="TP20261101", moment="2026-12-01 01:55")
    return [
        replace(
            _REMINDER,
            reason=M("The tape in drive {drive} is not one that this run may use.", drive="tape0"),
            expected=M("a blank tape, one labelled {month}, or an expired one", month="TP202612xx"),
            suitable=(M("{tape} (erases {set})", tape="TP20251101", set=_SET.to_json()),),
            found=in_drive,
            on_tape=(
                M(
                    "set {set}, {type}, {size}, kept until {until}",
                    set="20261031T180001Z-77b0",
                    type=M("full").to_json(),
                    size="5.5 TB",
                    until="2027-10-31",
                ),
            ),
        ),
        replace(
            _REMINDER,
            event=Event.READY,
            found=M("{tape}, as of {moment}", tape="TP20251101", moment="2026-12-01 01:55"),
            on_tape=(_SET,),
            erased=(_SET,),
        ),
    ]


def _of_reports() -> Facts:
    return Facts(event=Event.REPORT, at=_AT, time_zone="Asia/Shanghai", report=REPORT)


SAMPLES: dict[Event, Facts] = {
    facts.event: facts
    for facts in [*_of_runs(), *_of_drives(), *_of_schedules(), _of_reports(), _of_channels()]
}
