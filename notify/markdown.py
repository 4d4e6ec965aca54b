"""Any text as one line of Markdown or of plain text: a name never becomes markup."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

MAX_LENGTH = 300
"""Characters of one name or text; a longer one loses its middle."""

_MARKUP = re.compile(r"[\\`*\[\]<>&#~]")
# An underscore inside a word is no markup and stays, so that most names stay readable.
_EMPHASIS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
# Begins a list or a heading at the beginning of a line.
_AT_THE_START = re.compile(r"^(\d+(?=[.)])|(?=[-+=]))(.)")


def one_line(text: str) -> str:
    """The text without line breaks, control characters and half characters, in a length for a phone."""
    printable = "".join(_printable(character) for character in text)
    line = " ".join(printable.split())
    if len(line) <= MAX_LENGTH:
        return line
    half = (MAX_LENGTH - 1) // 2
    return f"{line[:half]}…{line[-half:]}"


def escape(text: str) -> str:
    """The text as Markdown that shows it unchanged, on one line."""
    escaped = _MARKUP.sub(r"\\\g<0>", one_line(text))
    escaped = _EMPHASIS.sub(r"\_", escaped)
    return _AT_THE_START.sub(r"\1\\\2", escaped)


def bold(text: str) -> str:
    return f"**{escape(text)}**"


def code(text: str) -> str:
    """The text as code, between more backticks than it contains."""
    line = one_line(text)
    if "`" not in line:
        return f"`{line}`" if line else ""
    fence = "`" * (1 + max(len(run) for run in re.findall("`+", line)))
    return f"{fence} {line} {fence}"


def link(text: str, address: str) -> str:
    """A link to a web address; an address of any other kind stays text."""
    if not address.startswith(("http://", "https://")):
        return escape(address)
    return f"[{escape(text)}]({quote(one_line(address), safe=':/?#@!$&*+,;=%~-._')})"


def _printable(character: str) -> str:
    match unicodedata.category(character):
        case "Cs":
            return "\ufffd"
        case "Cf":
            return ""
        case "Cc" | "Zl" | "Zp" | "Zs":
            return " "
    return character
