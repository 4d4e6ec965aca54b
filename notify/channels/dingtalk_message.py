"""A notice as the body of DingTalk's Markdown message, within DingTalk's limit of bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from notify.notice import Notice

MAX_BYTES = 20_000
"""The largest message that DingTalk accepts, in bytes."""
MAX_TITLE = 200
"""Characters; DingTalk shows the title in the list of conversations."""


def encode(notice: Notice, at_mobiles: Sequence[str]) -> bytes:
    """The request's body. Whole lines are cut from the end of a long text, and a line mentions that."""
    # DingTalk calls only those whose numbers are in the text too.
    calls = [" ".join(f"@{mobile}" for mobile in at_mobiles)] if at_mobiles else []
    body = _json(notice.title, "\n\n".join([notice.markdown, *calls]), at_mobiles)
    if len(body) <= MAX_BYTES:
        return body
    ending = "\n\n".join(["", notice.where_the_rest_is, *calls])
    room = MAX_BYTES - len(_json(notice.title, ending, at_mobiles))
    return _json(notice.title, "\n".join(_first_lines(notice.markdown, room)) + ending, at_mobiles)


def _first_lines(text: str, room: int) -> Iterator[str]:
    """As many whole lines as fit into so many bytes of JSON."""
    for line in text.split("\n"):
        room -= len(_dumps(line)) - len('""') + len("\\n")
        if room < 0:
            return
        yield line


def _json(title: str, text: str, at_mobiles: Sequence[str]) -> bytes:
    return _dumps(
        {
            "msgtype": "markdown",
            "markdown": {"title": title[:MAX_TITLE], "text": text},
            "at": {"atMobiles": list(at_mobiles), "isAtAll": False},
        }
    )


def _dumps(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")
