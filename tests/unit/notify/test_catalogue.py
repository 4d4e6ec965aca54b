"""The catalogues fit the program."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from notify import catalogue, words

ROOT = Path(catalogue.__file__).parent.parent

ANOTHER_WORD = {
    "卷标": "标签",
    "条形码": "条码",
    "文件夹": "目录",
    "目录中没有": "目录库中没有",
    "清除": "擦除",
    "插入": "放入",
    "改正": "更正",
    "来源": "备份源",
    "操作人员": "管理员",
    "测试消息": "测试通知",
    "运行记录中": "运行经过中",
}
"""Chinese words for a thing that has another one everywhere else."""


def calls_of_m() -> Iterator[tuple[str, ast.Call]]:
    for package in catalogue.PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "M":
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_every_text_has_its_translation() -> None:
    """Each M("...") of the program is in the catalogue, with the same fields, and nothing else is."""
    if problems := "".join(catalogue.report()):
        pytest.fail(f"The catalogue does not fit the program:\n{problems}", pytrace=False)


def test_chinese_has_one_word_for_one_thing() -> None:
    """In what commands and pages say, in messages, and in the guide."""
    pages = [
        *(ROOT / "notify" / "templates" / "zh_CN").iterdir(),
        *(ROOT / "docs" / "guide" / "zh_CN").iterdir(),
    ]
    texts = {page.name: page.read_text(encoding="utf-8") for page in pages}
    texts |= {f"{entry.id!r}": str(entry.string) for entry in words.catalogue("zh_CN") if entry.id}
    found = [
        f"{where}: {word}, elsewhere {usual}"
        for where, text in texts.items()
        for word, usual in ANOTHER_WORD.items()
        if word in text
    ]
    assert found == []


def test_every_message_can_be_extracted() -> None:
    """M is called with a plain text, or the text would never reach the catalogue."""
    hidden = [
        place
        for place, call in calls_of_m()
        if not (call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str))
    ]
    assert hidden == []


def test_every_message_has_values_for_its_fields() -> None:
    """The fields of a text are exactly the names that it is given values for."""
    wrong = []
    for place, call in calls_of_m():
        names = {keyword.arg for keyword in call.keywords}
        match call.args:
            case [ast.Constant(value=str(text))] if None not in names and catalogue.fields(text) != names:
                wrong.append(place)
    assert wrong == []


def test_message_among_the_arguments_of_another_is_found() -> None:
    """Extraction finds every call, also a nested one and one in several pieces; no text is none."""
    source = 'M("a {b}", b=f(g("no"), M("inner")))\nM("one "\n  "two") if M("q") else other("no") or M("")\n'
    assert set(catalogue.texts(source)) == {"a {b}", "inner", "one two", "q"}


@pytest.fixture
def small_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "zh_CN" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    monkeypatch.setattr("notify.words.LOCALE", tmp_path)
    monkeypatch.setattr(catalogue, "LANGUAGES", ("zh_CN",))
    monkeypatch.setattr(catalogue, "in_program", lambda: {"Tape {label}", "Set {set}", "Drive {name}", "A"})
    return folder / "tapeline.po"


HEAD = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'


def test_report_names_what_is_wrong(small_catalogue: Path) -> None:
    """Missing texts come as entries to paste; stale ids and other fields are named."""
    small_catalogue.write_text(
        HEAD
        + 'msgid "Tape {label}"\nmsgstr "磁带 {lable}"\n\nmsgid "Gone"\nmsgstr "没了"\n\n'
        + '#, fuzzy\nmsgid "Set {set}"\nmsgstr "备份集 {set}"\n\nmsgid "A"\nmsgstr ""\n\n'
        + 'msgid "Drive {name}"\nmsgstr "磁带机 {name"\n',
        encoding="utf-8",
    )
    assert catalogue.missing() == ["A", "Set {set}"]
    assert catalogue.stale("zh_CN") == ["Gone"]
    assert catalogue.broken("zh_CN") == ["Drive {name}", "Tape {label}"]
    assert 'msgid "A"\nmsgstr ""\n' in "".join(catalogue.report())


def test_catalogue_that_is_whole_reports_nothing(small_catalogue: Path) -> None:
    """Nothing is said where nothing is wrong."""
    small_catalogue.write_text(
        HEAD
        + 'msgid "Tape {label}"\nmsgstr "磁带 {label}"\n\nmsgid "A"\nmsgstr "甲"\n\n'
        + 'msgid "Set {set}"\nmsgstr "备份集 {set}"\n\nmsgid "Drive {name}"\nmsgstr "磁带机 {name}"\n',
        encoding="utf-8",
    )
    assert list(catalogue.report()) == []
