"""The chapters of the guide as what an operator does: commands in order, and what hands do at the drive.

In a chapter, a block ``console`` is what is typed: a line that begins with ``$ `` is a command (with its
here-document, or its next lines after a backslash), any other one is output. ``# exit code 4`` at its end
says how it ends if not with 0. A comment right above a block says what is different with it:

``<!-- only parsed: REASON -->``: needs what a test has not (hardware, root, Windows, a network).
``<!-- runs on -->``: the last command of the block stays, until the chapter's end.

``<!-- by hand: ACTION -->`` is something that is not typed. A block ``powershell`` is only parsed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from cli.main import app

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
CHINESE = GUIDE / "zh_CN"

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>only parsed: [^\n]+|runs on) -->\n)?"
    r"```(?P<kind>console|powershell)\n(?P<body>.*?)^```$"
    r"|^<!-- by hand: (?P<hand>[^\n]+) -->$",
    re.MULTILINE | re.DOTALL,
)
_CODE = re.compile(r"\s#\s.*?(?:exit code|退出码) (\d)")
_COMMENT = re.compile(r"\s+#\s[^'\"]*$")


@dataclass(frozen=True, slots=True)
class Step:
    """One command, or something done by hand."""

    text: str
    code: int = 0
    runs_on: bool = False
    parsed_only: bool = False
    by_hand: bool = False


def steps(chapter: Path) -> list[Step]:
    """What a chapter has the operator do, in order."""
    found: list[Step] = []
    for block in _BLOCK.finditer(chapter.read_text(encoding="utf-8")):
        if block["hand"]:
            found.append(Step(block["hand"], by_hand=True))
            continue
        mark = block["mark"] or ""
        typed = list(_typed(block["body"], "PS> " if block["kind"] == "powershell" else "$ "))
        for number, text in enumerate(typed, start=1):
            code = _CODE.search(text.splitlines()[0])
            found.append(
                Step(
                    _COMMENT.sub("", text) if "\n" not in text else text,
                    code=int(code[1]) if code else 0,
                    runs_on=mark == "runs on" and number == len(typed),
                    parsed_only=mark.startswith("only parsed") or block["kind"] == "powershell",
                )
            )
    return found


def _typed(body: str, prompt: str) -> Iterator[str]:
    lines = iter(body.splitlines())
    for line in lines:
        if not line.startswith(prompt):
            continue
        command = [line.removeprefix(prompt)]
        here = re.search(r"<<-?\s*'?(\w+)'?", line)
        while here and command[-1] != here[1]:
            command.append(next(lines))
        while command[-1].endswith("\\"):
            command.append(next(lines))
        yield "\n".join(command)


def strangers(command: str) -> list[str]:
    """What is wrong with each ``tapeline`` of a command line: a command or an option that is none."""
    return [problem for words in _calls(command) if (problem := _problem(words))]


def _calls(command: str) -> Iterator[list[str]]:
    """The words after each ``tapeline`` that is a program here, up to what the shell takes for itself."""
    text = command if "<<" not in command else command.splitlines()[0]
    words: list[str] = []
    for word in [*shlex.split(text.replace("\\\n", " ").replace("\\", "/"), comments=True), ";"]:
        if word in {"|", "&&", ";", ">", "<", "||"} or word.startswith("<<"):
            called = _without_prefix(words)
            if called and called[0].rsplit("/")[-1] == "tapeline":
                yield called[1:]
            words = []
        else:
            words.append(word)


def _without_prefix(words: list[str]) -> list[str]:
    """A command without who runs it, and with which variables."""
    while words and ("=" in words[0] or words[0] == "sudo"):
        words = words[3:] if words[:2] == ["sudo", "-u"] else words[1:]
    return words


def _problem(words: list[str]) -> str | None:
    command: Any = typer.main.get_command(app)
    path = "tapeline"
    rest = list(words)
    while rest and rest[0] in getattr(command, "commands", {}):
        path = f"{path} {rest[0]}"
        command = command.commands[rest.pop(0)]
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
    unknown = [word for word in rest if word.startswith("-") and word.split("=")[0] not in known]
    if getattr(command, "commands", {}) and rest and not rest[0].startswith("-"):
        return f"{path}: there is no command {rest[0]}"
    return f"{path}: there is no option {unknown[0]}" if unknown else None
