"""The result of a step or a run, in a few words, from its figures."""

from __future__ import annotations

from typing import Any

from dashboard.show import Show
from policy.message import M, Message

TELLING = ("run_backup", "restore", "verify", "import_tape", "write_copy")
"""The steps whose result is that of the run."""


def of_step(show: Show, step: dict[str, Any]) -> str:
    """The result of a step; nothing for one that left no figures."""
    text = _text(show, step["name"], step["result"] or {})
    return show(text) if text else ""


def of_run(show: Show, run: dict[str, Any]) -> str:
    """The result of a run."""
    return ", ".join(filter(None, (of_step(show, each) for each in run["steps"] if each["name"] in TELLING)))


def _text(show: Show, name: str, result: dict[str, Any]) -> Message | None:
    text = None
    match name:
        case "precheck" if result.get("tape"):
            text = M("in the drive: {tape}", tape=show.tape(result["tape"]))
        case "format_tape" if result.get("label"):
            text = M("formatted as {label}", label=result["label"])
        case "run_backup" if "files" in result:
            text = M("{files} files, {size}", files=_files(show, result), size=show.size(result["bytes"]))
        case "restore" if "files" in result:
            text = M("{files} files to {target}", files=_files(show, result), target=result["target"])
        case "verify" if "files" in result and not result["damaged"]:
            text = M("{files} files are as they were written", files=_files(show, result))
        case "import_tape" if "sets" in result:
            text = M("sets on the tape: {count}", count=result["sets"])
        case "read_set" if "bytes" in result:
            text = M("{size} read", size=show.size(result["bytes"]))
        case "write_copy" if "tape" in result:
            text = M("{size} on {tape}", size=show.size(result["bytes"]), tape=result["tape"])
    return text


def _files(show: Show, result: dict[str, Any]) -> str:
    return show.words.number(result["files"])
