"""What operators read of each event."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from db.states import Kind, Trigger
from notify.events import Event
from notify.notice import Facts, Notice, compose
from notify.words import Words
from policy.message import Message

ENGLISH = Words("en")
CHINESE = Words("zh_CN")

FACTS = Facts(
    event=Event.SUCCESS,
    run_id=12,
    kind=Kind.BACKUP,
    trigger=Trigger.SCHEDULE,
    at=datetime(2026, 11, 23, 13, 43, tzinfo=UTC),
    time_zone="Asia/Shanghai",
    schedule="nightly_docs",
    drive="tape0",
    label="TP20261101",
    set_id="20261123-12",
    files=1234,
    size=5_600_000_000,
    seconds=100.0,
)

FAILED = replace(
    FACTS,
    event=Event.FAILED,
    label="TP20261001",
    set_id=None,
    files=None,
    size=None,
    seconds=None,
    reason=Message(
        "The tape in the drive is not this month's: change it and retry"
        " (in drive {drive}: {found}; expected: {expected}).",
        {"drive": "tape0", "found": "TP20261001", "expected": "TP202611nn"},
    ),
    remedy=Message("Insert {tapes}, then: tapeline runs retry {run}", {"tapes": "TP202611nn", "run": 12}),
    next_command="tapeline runs retry 12",
    link="https://flower.example/runs/12?full=1",
)


@pytest.mark.parametrize(
    ("event", "english", "chinese"),
    [
        (Event.SUCCESS, "Backup succeeded: nightly_docs", "备份成功：nightly_docs"),
        (Event.WARNINGS, "Backup completed with warnings: nightly_docs", "备份完成，但有警告：nightly_docs"),
        (Event.FAILED, "Backup failed: nightly_docs", "备份失败：nightly_docs"),
        (Event.SKIPPED, "Backup skipped: nightly_docs", "备份已跳过：nightly_docs"),
        (Event.CANCELLED, "Backup cancelled: nightly_docs", "备份已取消：nightly_docs"),
        (Event.WAITING_FOR_TAPE, "Backup waits for a tape: nightly_docs", "备份等待更换磁带：nightly_docs"),
        (
            Event.FORMAT_WARNING,
            "Backup goes on without a format: nightly_docs",
            "磁带未能格式化，备份继续：nightly_docs",
        ),
    ],
)
def test_title_says_the_event(event: Event, english: str, chinese: str) -> None:
    """The title of each event says in one line what became of what."""
    facts = replace(FACTS, event=event)
    assert compose(facts, ENGLISH).title == f"Tapeline · {english}"
    assert compose(facts, CHINESE).title == f"Tapeline · {chinese}"


def test_every_event_has_a_title() -> None:
    """No event is without words."""
    titles = {compose(replace(FACTS, event=event), CHINESE).title for event in Event}
    assert len(titles) == len(Event)


def test_success_in_english() -> None:
    """A success says how much is where and how fast it went."""
    assert compose(FACTS, ENGLISH) == Notice(
        title="Tapeline · Backup succeeded: nightly_docs",
        markdown=(
            "### Tapeline · Backup succeeded: nightly_docs\n\n"
            "- **Tape**: TP20261101\n"
            "- **Drive**: tape0\n"
            "- **Backup set**: 20261123-12\n"
            "- **Stored**: 1,234 files, 5.6 GB\n"
            "- **Took**: 1 min 40 s, 56.0 MB/s\n"
            "- **Run**: 12, by its schedule\n"
            "- **Time**: 2026-11-23 21:43 (Asia/Shanghai)"
        ),
        plain=(
            "Tape: TP20261101\n"
            "Drive: tape0\n"
            "Backup set: 20261123-12\n"
            "Stored: 1,234 files, 5.6 GB\n"
            "Took: 1 min 40 s, 56.0 MB/s\n"
            "Run: 12, by its schedule\n"
            "Time: 2026-11-23 21:43 (Asia/Shanghai)"
        ),
        where_the_rest_is="Shortened. All of it: tapeline runs show 12",
    )


def test_nothing_is_called_stored_where_nothing_is() -> None:
    """A run that ended before it stored anything only says how long it took."""
    plain = compose(replace(FAILED, seconds=75.0), CHINESE).plain
    assert "用时：1 分 15 秒\n" in plain
    assert "已写入：" not in plain


def test_failure_in_english() -> None:
    """A failure says what happened, to which tape, what is safe, and the command that goes on."""
    assert compose(FAILED, ENGLISH).markdown == (
        "### Tapeline · Backup failed: nightly_docs\n\n"
        "The tape in the drive is not this month's: change it and retry"
        " (in drive tape0: TP20261001; expected: TP202611nn).\n\n"
        "- **Tape**: TP20261001\n"
        "- **Drive**: tape0\n"
        "- **Safe**: This run has stored nothing yet. What there is from before: tapeline sets list\n"
        "- **What to do**: Insert TP202611nn, then: tapeline runs retry 12\n"
        "- **Next**: `tapeline runs retry 12`\n"
        "- [Details](https://flower.example/runs/12?full=1)\n"
        "- **Run**: 12, by its schedule\n"
        "- **Time**: 2026-11-23 21:43 (Asia/Shanghai)"
    )


def test_failure_in_chinese() -> None:
    """The same in Chinese, with the wording that operators know."""
    notice = compose(FAILED, CHINESE)
    assert notice.title == "Tapeline · 备份失败：nightly_docs"
    assert notice.plain == (
        "当前磁带非当月，请更换磁带后重试（磁带机 tape0 中：TP20261001；应为：TP202611nn）。\n"
        "磁带：TP20261001\n"
        "磁带机：tape0\n"
        "已保全：本次运行尚未写入任何备份数据。此前的备份集见：tapeline sets list\n"
        "处理办法：请放入 TP202611nn，然后执行：tapeline runs retry 12\n"
        "下一步：tapeline runs retry 12\n"
        "详情：https://flower.example/runs/12?full=1\n"
        "运行：12，按计划\n"
        "时间：2026-11-23 21:43 (Asia/Shanghai)"
    )
    assert notice.where_the_rest_is == "内容已截短。全文见：tapeline runs show 12"


def test_warnings_are_counted_and_the_first_named() -> None:
    """Warnings are counted in full, and no more than three of them are shown."""
    first = tuple(Message("{path}: {reason}", {"path": f"/a/{n}", "reason": "EIO"}) for n in range(5))
    facts = replace(FACTS, event=Event.WARNINGS, warnings=1200, first_warnings=first)
    assert "Warnings: 1,200\n/a/0: EIO\n/a/1: EIO\n/a/2: EIO\nRun: 12" in compose(facts, ENGLISH).plain
    assert "- **警告**：1,200\n- /a/0：EIO\n" in compose(facts, CHINESE).markdown


@pytest.mark.parametrize("event", [Event.FAILED, Event.CANCELLED, Event.WAITING_FOR_TAPE])
def test_what_is_sealed_is_called_safe(event: Event) -> None:
    """Where a run stopped half-way, its sealed files are named as safe."""
    notice = compose(replace(FACTS, event=event), CHINESE)
    assert "已保全：已写入的内容已封存在磁带上，可以恢复。" in notice.plain


def test_what_the_run_knows_to_be_safe_is_said() -> None:
    """A statement of the run about what is safe replaces the general one."""
    facts = replace(FAILED, safe=Message("The drive affirms that the tape is blank."))
    assert "Safe: The drive affirms that the tape is blank." in compose(facts, ENGLISH).plain


def test_restore_is_called_so() -> None:
    """A restore is not announced as a backup, and its files are not called stored."""
    facts = replace(FACTS, kind=Kind.RESTORE, trigger=Trigger.MANUAL, schedule=None, set_id=None, label=None)
    notice = compose(facts, CHINESE)
    assert notice.title == "Tapeline · 恢复成功：运行 12"
    assert "已恢复：1,234 个文件" in notice.plain
    assert "运行：12，手动启动" in notice.plain


def test_facts_survive_the_outbox() -> None:
    """Facts read back from JSON make the same notice."""
    facts = replace(
        FAILED, warnings=1, first_warnings=(Message("Correct it."),), safe=Message("Correct that line.")
    )
    stored = json.loads(json.dumps(facts.to_json()))
    assert Facts.from_json(stored) == facts


def test_unknown_event_is_an_error() -> None:
    """An event that nobody knows is never taken for another."""
    with pytest.raises(ValueError, match="exploded"):
        Facts.from_json({**FACTS.to_json(), "event": "exploded"})
