"""A notice as DingTalk's message."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from notify.channels.dingtalk_message import MAX_BYTES, MAX_TITLE, encode
from notify.notice import Notice

REST = "内容已截短。全文见：tapeline runs show 12"


def notice(title: str, text: str) -> Notice:
    return Notice(title=title, markdown=text, plain="", where_the_rest_is=REST)


def test_body_is_as_dingtalk_documents_it() -> None:
    """The body is a Markdown message with a title, a text and the members to be called."""
    assert json.loads(encode(notice("标题", "### 标题\n\n- a"), [])) == {
        "msgtype": "markdown",
        "markdown": {"title": "标题", "text": "### 标题\n\n- a"},
        "at": {"atMobiles": [], "isAtAll": False},
    }


def test_called_members_are_in_the_text() -> None:
    """DingTalk calls a member only if the number is in the text as well."""
    body = json.loads(encode(notice("t", "text"), ["13800000000", "13900000000"]))
    assert body["markdown"]["text"] == "text\n\n@13800000000 @13900000000"
    assert body["at"] == {"atMobiles": ["13800000000", "13900000000"], "isAtAll": False}


def test_long_text_is_cut_at_a_line_and_says_so() -> None:
    """A text beyond 20,000 bytes keeps its first lines whole, and says where the rest is."""
    lines = [f'- **第 {number} 行**："引号" \\ 反斜杠' for number in range(2000)]
    body = encode(notice("t", "\n".join(lines)), ["13800000000"])
    *kept, empty, rest, _, call = json.loads(body)["markdown"]["text"].split("\n")
    assert MAX_BYTES - 200 < len(body) <= MAX_BYTES
    assert kept == lines[: len(kept)]
    assert [empty, rest, call] == ["", REST, "@13800000000"]


@given(st.text(max_size=300), st.text(max_size=200), st.integers(min_value=1, max_value=400))
def test_any_notice_fits(title: str, text: str, times: int) -> None:
    """Whatever a notice holds, its body is JSON in UTF-8 of at most 20,000 bytes, a short one unchanged."""
    body = encode(notice(title, text * times), [])
    message = json.loads(body.decode())["markdown"]
    assert len(body) <= MAX_BYTES
    assert message["title"] == title[:MAX_TITLE]
    assert message["text"] == text * times or message["text"].endswith(REST)


def test_half_characters_do_not_stop_a_message() -> None:
    """A half character, which UTF-8 cannot hold, is replaced."""
    assert json.loads(encode(notice("a\udcff", "b"), []))["markdown"]["title"] == "a?"
