"""Names never become markup."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from db.states import Kind, Trigger
from notify import markdown
from notify.events import Event
from notify.facts import Facts
from notify.notice import Composer, Notice
from notify.words import Words
from policy.message import Message

PARSER = MarkdownIt("commonmark").enable(["strikethrough", "table"])
NAMES = st.text(max_size=60) | st.text(alphabet="\\`*_{}[]()#+-.!<>|~&;=:/1a \n\t\u3000@", max_size=30)


def parse(text: str) -> list[Token]:
    tokens: list[Token] = []
    for token in PARSER.parse(text):
        tokens += [token, *(token.children or ())]
    return tokens


def structure(text: str) -> list[str]:
    return [token.type for token in parse(text) if token.type not in {"text", "text_special"}]


def shown(text: str) -> str:
    leaves = {"text", "text_special", "code_inline"}
    return "".join(token.content for token in parse(text) if token.type in leaves)


COMPOSER = Composer(Words("zh_CN"), dashboard_url="https://flower.example")


def notice(name: str, event: Event) -> Notice:
    message = Message("{name}", {"name": name})
    facts = Facts(
        event=event,
        run_id=12,
        kind=Kind.BACKUP,
        trigger=Trigger.MANUAL,
        at=datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
        time_zone="Asia/Shanghai",
        schedule=f"x{name}",
        drive=f"x{name}",
        label=f"x{name}",
        set_id=f"x{name}",
        warnings=1,
        first_warnings=(Message("x{name}", {"name": name}), message),
        reason=Message("{name}y", {"name": name}),
        remedy=message,
        safe=message,
        newest=message,
        next_command=f"tapeline x{name}",
        host=f"x{name}",
        seconds=60,
        due_at=datetime(2026, 11, 24, 12, 0, tzinfo=UTC),
        found=message,
        expected=message,
        on_tape=(message,),
        erased=(message,),
    )
    return COMPOSER.compose(facts)


@given(NAMES)
@example("# [a](b) <b> `x` **y** __z__ ~~q~~ &amp; \\")
@example("1. - + > = --- \n\n# x")
@example("1)")
@example("_a_ a_b __init__.py")
def test_text_is_shown_as_it_is(name: str) -> None:
    """Whatever a text holds, it is one paragraph that shows exactly its one line."""
    line = markdown.one_line(name)
    if line:
        assert structure(markdown.escape(name)) == ["paragraph_open", "inline", "paragraph_close"]
        assert shown(markdown.escape(name)) == line
        assert shown(f"### {markdown.escape(name)}") == line
        assert shown(f"- {markdown.escape(name)}") == line


@given(NAMES)
@example("`")
@example("``` a ``")
def test_command_is_shown_as_code(command: str) -> None:
    """Whatever a command holds, it is one piece of code."""
    line = markdown.one_line(command)
    if line:
        assert "code_inline" in structure(markdown.code(command))
        assert shown(markdown.code(command)) == line


@given(NAMES.filter(lambda name: markdown.one_line(name) != ""), st.sampled_from(Event))
def test_notice_keeps_its_shape(name: str, event: Event) -> None:
    """No name changes the structure of a notice, its number of lines, or its way through JSON."""
    told, usual = notice(name, event), notice("n", event)
    assert structure(told.markdown) == structure(usual.markdown)
    assert told.plain.count("\n") == usual.plain.count("\n")
    assert "\n" not in told.title
    assert json.loads(json.dumps(told.markdown, ensure_ascii=False).encode()) == told.markdown


@pytest.mark.parametrize("name", ["nightly_docs", "TP20261101", "20261123-12", "/data/照片/2026 (1).jpg"])
def test_usual_names_stay_readable(name: str) -> None:
    """Names as operators give them carry no backslash at all."""
    assert markdown.escape(name) == name


def test_half_characters_and_controls_are_replaced() -> None:
    """What a file system may hold and JSON may not is replaced, line breaks and overrides too."""
    assert markdown.one_line("a\udcffb\x00c\r\nd\u202ee") == "a\ufffdb c de"


def test_long_text_loses_its_middle() -> None:
    """A very long name keeps its beginning and its end."""
    line = markdown.one_line("/start" + "x" * 5000 + "end.txt")
    assert len(line) <= markdown.MAX_LENGTH
    assert line.startswith("/start")
    assert line.endswith("end.txt")
    assert "…" in line


def test_only_web_addresses_become_links() -> None:
    """A link leads to a web page; any other address is only shown."""
    assert markdown.link("more", "https://a.example/x (1)") == "[more](https://a.example/x%20%281%29)"
    assert "link_open" not in structure(markdown.link("more", "javascript:alert(1)"))
