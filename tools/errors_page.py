"""Every error text with its remedy, for the guide: found in the sources, in each language."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from notify.words import Language, Words

ROOT = Path(__file__).resolve().parent.parent

ROOMS: dict[str, dict[Language, str]] = {
    "tape": {"en": "The drive and the tape", "zh_CN": "磁带机与磁带"},
    "backup": {"en": "Backup and restore", "zh_CN": "备份与恢复"},
    "tasks": {"en": "Runs", "zh_CN": "运行"},
    "db": {"en": "The database", "zh_CN": "数据库"},
    "policy": {"en": "Schedules", "zh_CN": "计划"},
    "cli": {"en": "Commands", "zh_CN": "命令"},
    "celery_app": {"en": "Settings and workers", "zh_CN": "设置与工作进程"},
    "embedded": {"en": "The embedded servers", "zh_CN": "内置服务器"},
    "notify": {"en": "Channels", "zh_CN": "通知通道"},
    "dashboard": {"en": "The dashboard", "zh_CN": "控制台"},
}
"""Where an error comes from, in the order in which operators meet them."""

HEAD: dict[Language, str] = {
    "en": """\
# Errors

{made}
Every error text of Tapeline and what to do, by where it comes from. Words in *italics* stand for what it is
about at that moment. What a message or a run's story means: [messages](messages.md).
""",
    "zh_CN": """\
# 错误信息

{made}
Tapeline 的全部错误信息及处理办法，按出处排列。*斜体*词代表当时的具体内容。
通知和运行记录的含义见[消息](messages.md)。
""",
}
ROOTS = ("TapelineError", "WrongValue")
"""What errors of ours derive from; the second is what a field of a file of schedules is refused with."""
COLUMNS: dict[Language, str] = {"en": "| error | what to do |", "zh_CN": "| 错误 | 处理办法 |"}


def page(language: Language, made: str) -> str:
    """The page in a language, as Markdown."""
    words = Words(language)
    parsed = {room: [ast.parse(path.read_text("utf-8")) for path in _sources(room)] for room in ROOMS}
    errors = _errors(list(chain.from_iterable(parsed.values())))
    parts = [HEAD[language].format(made=made)]
    for room, titles in ROOMS.items():
        rows = sorted({row for tree in parsed[room] for row in _rows(tree, errors)})
        if rows:
            lines = "".join(f"| {_cell(words, error)} | {_cell(words, remedy)} |\n" for error, remedy in rows)
            parts.append(f"\n## {titles[language]}\n\n{COLUMNS[language]}\n| --- | --- |\n{lines}")
    return "".join(parts)


def _sources(room: str) -> list[Path]:
    return sorted(path for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts)


def _errors(trees: list[ast.Module]) -> set[str]:
    """The names of all classes that are errors of ours."""
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    names = set(ROOTS)
    while more := {each.name for each in classes if _bases(each) & names} - names:
        names |= more
    return names


def _bases(node: ast.ClassDef) -> set[str]:
    return {base.id for base in node.bases if isinstance(base, ast.Name)}


def _rows(tree: ast.Module, errors: set[str]) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[first, *more]) if name in errors:
                remedy = " / ".join(_texts(more[0])) if more else ""
                yield from ((error, remedy) for error in _texts(first))


def _texts(node: ast.expr) -> Iterator[str]:
    """The text of ``M(...)``, or those of both sides of a choice."""
    match node:
        case ast.Call(func=ast.Name(id="M"), args=[ast.Constant(value=str(text)), *_]):
            yield text
        case ast.IfExp():
            yield from _texts(node.body)
            yield from _texts(node.orelse)


def _cell(words: Words, text: str) -> str:
    translated = " / ".join(map(words.unfilled, text.split(" / "))) if text else "–"
    return re.sub(r"\{(\w+)[^}]*\}", r"*\1*", translated).replace("|", "\\|").replace("<", "&lt;")
