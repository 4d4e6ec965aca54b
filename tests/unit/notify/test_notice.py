"""What operators read of each event."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from db.states import Kind, Trigger
from notify.events import OFF_BY_DEFAULT, Event
from notify.facts import Facts
from notify.notice import Composer
from notify.outlet import switched
from notify.samples import SAMPLES
from notify.words import Language, Words
from policy.message import M, Message

GOLDEN = Path(__file__).parent / "golden"
ENGLISH = Composer(Words("en"))
CHINESE = Composer(Words("zh_CN"))
FAILED = SAMPLES[Event.FAILED]
LANGUAGES: tuple[Language, ...] = get_args(Language)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("event", Event)
def test_each_message_reads_as_it_was_approved(event: Event, language: Language) -> None:
    """Each event's message, in both languages, is word for word the one that an operator has read."""
    notice = Composer(Words(language), dashboard_url="https://backup.example/flower/").compose(SAMPLES[event])
    golden = GOLDEN / language / f"{event}.md"
    assert f"{notice.markdown}\n" == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("event", Event)
def test_the_plain_text_says_the_same(event: Event) -> None:
    """Title and plain text are the Markdown without its marks."""
    notice = CHINESE.compose(SAMPLES[event])
    lines = [line for line in notice.markdown.replace("**", "").replace("`", "").split("\n") if line]
    assert [f"### {notice.title}", *notice.plain.split("\n")] == [line.removeprefix("- ") for line in lines]


def test_a_failure_says_all_that_is_needed_at_six_in_the_morning() -> None:
    """What happened, to which tape, what is safe, the newest backup, and the command that goes on."""
    plain = CHINESE.compose(FAILED).plain
    assert plain == (
        "当前磁带非当月，请更换磁带后重试（磁带机 tape0 中：TP20261101；"
        "应为：空白磁带，或标签为 TP202612xx 的磁带）。\n"
        "磁带：TP20261101\n"
        "磁带机：tape0\n"
        "用时：12 秒\n"
        "数据状况：未写入任何数据：TP20261101 上的内容与之前完全一样。\n"
        "最近一次完整备份：2026-11-01，在磁带 TP20261101 上（备份集 20261031T180001Z-77b0）\n"
        "处理办法：放入正确的磁带后执行：tapeline runs retry 12\n"
        "运行：12，按计划\n"
        "时间：2026-12-01 06:05 (Asia/Shanghai)"
    )


def test_the_keyword_is_in_every_title() -> None:
    """A robot that lets through only what holds its keyword lets every message through."""
    assert all(ENGLISH.compose(facts).title.startswith("Tapeline · ") for facts in SAMPLES.values())


def test_a_command_is_said_once() -> None:
    """The command that goes on is left out where the advice names it already."""
    elsewhere = replace(FAILED, remedy=Message("Correct it."))
    assert ENGLISH.compose(FAILED).plain.count("tapeline runs retry 12") == 1
    assert "Next: tapeline runs retry 12\n" in ENGLISH.compose(elsewhere).plain


def test_nothing_is_called_stored_where_nothing_is() -> None:
    """A run that ended before it stored anything only says how long it took."""
    plain = CHINESE.compose(FAILED).plain
    assert "用时：12 秒\n" in plain
    assert "已写入：" not in plain


def test_warnings_are_counted_and_the_first_named() -> None:
    """Warnings are counted in full, and no more than three of them are shown."""
    first = tuple(Message("{path}: {reason}", {"path": f"/a/{n}", "reason": "EIO"}) for n in range(5))
    facts = replace(
        SAMPLES[Event.WARNINGS], warnings=1200, first_warnings=first, next_command=None, condition=()
    )
    assert "Warnings: 1,200\n/a/0: EIO\n/a/1: EIO\n/a/2: EIO\nRun: 12" in ENGLISH.compose(facts).plain
    assert "- **警告**：1,200 条\n- /a/0：EIO\n" in CHINESE.compose(facts).markdown


def test_restore_is_called_so() -> None:
    """A restore is not announced as a backup, and its files are not called stored."""
    facts = replace(
        SAMPLES[Event.SUCCESS], kind=Kind.RESTORE, trigger=Trigger.MANUAL, schedule=None, set_id=None
    )
    notice = CHINESE.compose(facts)
    assert notice.title == "Tapeline · 恢复成功：运行 12"
    assert "已恢复：1,234,567 个文件" in notice.plain
    assert "运行：12，手动启动" in notice.plain


def test_a_run_is_linked_to_its_page_in_the_dashboard() -> None:
    """The link is the dashboard's address with the run; without an address there is none."""
    linked = Composer(Words("en"), dashboard_url="https://backup.example/flower/").compose(FAILED)
    assert "- [Details](https://backup.example/flower/runs/12)\n" in linked.markdown
    assert "Details" not in ENGLISH.compose(FAILED).markdown


def test_an_unknown_time_zone_costs_no_message() -> None:
    """A schedule whose time zone somebody broke is told of on the clock of UTC."""
    assert "Time: 2026-11-30 22:05 (UTC)" in ENGLISH.compose(replace(FAILED, time_zone="Mars/Base")).plain


@pytest.mark.parametrize("event", Event)
def test_facts_survive_the_outbox(event: Event) -> None:
    """Facts read back from JSON are the same facts."""
    stored = json.loads(json.dumps(SAMPLES[event].to_json()))
    assert Facts.from_json(stored) == SAMPLES[event]


def test_unknown_event_is_an_error() -> None:
    """An event that nobody knows is never taken for another."""
    with pytest.raises(ValueError, match="exploded"):
        Facts.from_json({**FAILED.to_json(), "event": "exploded"})


def test_only_what_somebody_has_to_know_is_on() -> None:
    """A channel is told of everything but a start and a tape that is ready, unless it is switched."""
    assert switched({}) == frozenset(Event) - OFF_BY_DEFAULT
    assert Event.READY in switched({Event.READY: True})
    assert Event.SKIPPED not in switched({Event.SKIPPED: False})


@pytest.fixture
def own(tmp_path: Path) -> Callable[[str], Composer]:
    """A composer with the operator's own template of a failure."""

    def composer(text: str) -> Composer:
        folder = tmp_path / "en"
        folder.mkdir()
        (folder / "failed.md.j2").write_text(text, encoding="utf-8")
        return Composer(Words("en"), templates_dir=tmp_path)

    return composer


def test_an_own_template_takes_the_place_of_the_shipped_one(own: Callable[[str], Composer]) -> None:
    """The operator's words are used for the event that they are of, and no other."""
    composer = own("Wake up: {{ schedule }}\n{{ reason }}\n\n- **Call** {{ schedule }}, {{ drive|code }}\n")
    notice = composer.compose(replace(FAILED, schedule="_Li_", reason=M("Correct it.")))
    assert notice.title == "Tapeline · Wake up: _Li_"
    assert notice.plain == "Correct it.\nCall _Li_, tape0"
    assert notice.markdown.endswith("Correct it.\n\n- **Call** \\_Li\\_, `tape0`")
    success = SAMPLES[Event.SUCCESS]
    assert composer.compose(success) == ENGLISH.compose(success)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Failed: {{ schedul }}", "failed.md.j2 line 1: UndefinedError: 'schedul' is undefined"),
        ("Failed\n{% if %}", "failed.md.j2 line 2: TemplateSyntaxError"),
        ("Failed\n{{ 1 / 0 }}", "ZeroDivisionError"),
        ("Failed\n{% include 'gone.md.j2' %}", "TemplateNotFound"),
        ("Failed {{ ''.__class__.__mro__ }}", "SecurityError"),
        ("", "the first line, which is the title, is empty"),
    ],
)
def test_a_broken_template_costs_no_message(own: Callable[[str], Composer], text: str, problem: str) -> None:
    """The shipped template is used, and the message says at its end what is wrong with the operator's."""
    notice = own(text).compose(FAILED)
    shipped = ENGLISH.compose(FAILED)
    assert notice.title == shipped.title
    assert notice.plain.startswith(shipped.plain)
    assert "Your template failed.md.j2 is broken" in notice.plain
    assert problem in notice.plain


def test_facts_that_no_template_can_show_are_a_message_all_the_same() -> None:
    """One that cannot be made as it should be is neither lost nor in the way of the others."""
    notice = CHINESE.compose(replace(FAILED, seconds="a while"))  # type: ignore[arg-type]
    assert notice.title == "Tapeline · failed: monthly-full"
    assert notice.plain.startswith("当前磁带非当月")
