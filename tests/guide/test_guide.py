"""What the guide tells an operator to do works, in the order in which it is told."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.guide.chapters import CHINESE, GUIDE, Step, steps, strangers
from tests.guide.reader import Reader

DOCS = GUIDE.parent
CHAPTERS: dict[str, Callable[[Reader], None] | None] = {
    "install": None,
    "first-month": Reader.up,
    "changing-tapes": Reader.backed_up,
    "library": Reader.with_library,
    "messages": Reader.up,
    "retry": Reader.failed,
    "restore": Reader.backed_up,
    "disaster": Reader.backed_up,
    "database-backup": Reader.backed_up,
    "upgrade": Reader.up,
}
"""Each chapter, and what its reader has done before."""
PROGRAMS = ("bash", "curl", "zstd", "tar", "diff", "sha256sum")
"""What the chapters use beside Tapeline."""
LANGUAGE = re.compile(r"^language +=.*\n", re.MULTILINE)
REMARK = re.compile(r" +# .*$", re.MULTILINE)


def files() -> list[Path]:
    return [*sorted(DOCS.rglob("*.md")), DOCS.parent / "README.md"]


@pytest.mark.guide
@pytest.mark.timeout(900)
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_can_be_followed(chapter: str, reader: Reader) -> None:
    """Every command ends as the chapter says, with real processes, a real broker and a real database."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"not installed here: {', '.join(missing)}")
    before = CHAPTERS[chapter]
    if before is not None:
        before(reader)
    todo = [step for step in steps(GUIDE / f"{chapter}.md") if not step.parsed_only]
    for step in todo:
        reader.do(step)
    assert todo


def test_every_chapter_is_followed() -> None:
    """None is written and then forgotten here; the others have no commands of their own."""
    with_steps = {path.stem for path in GUIDE.glob("*.md") if steps(path)}
    assert with_steps == set(CHAPTERS)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(DOCS.parent)))
def test_what_is_not_run_exists_at_least(path: Path) -> None:
    """Each tapeline command in a block or in a sentence of any page has a command and options that exist."""
    page = path.read_text(encoding="utf-8")
    typed = [step.text for step in steps(path) if not step.by_hand]
    said = re.findall(r"(?<!`)`(tapeline [^`]+)`(?!`)", page)
    assert [problem for command in typed + said for problem in strangers(command)] == []


def test_shells_can_read_what_is_not_run() -> None:
    """A command for root or for another host is at least one for bash."""
    for path in GUIDE.glob("*.md"):
        for step in steps(path):
            if step.parsed_only and "C:\\" not in step.text and not step.text.startswith("setx"):
                subprocess.run(["bash", "-n", "-c", step.text], check=True)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_chinese_chapter_has_the_same_commands(chapter: str) -> None:
    """In the same order, with the same exit codes and the same marks: one is as true as the other.

    Remarks are in the reader's language, and a settings file names that one.
    """

    def typed(folder: Path) -> list[Step]:
        found = steps(folder / f"{chapter}.md")
        return [replace(step, text=LANGUAGE.sub("", REMARK.sub("", step.text))) for step in found]

    assert typed(CHINESE) == typed(GUIDE)


def test_each_language_has_every_page_in_the_same_order() -> None:
    """No chapter of one is missing in the other, and both contents name all of them, each its own."""

    def listed(folder: Path) -> list[str]:
        return re.findall(
            r"^\| \[[^\]]+\]\((\S+\.md)\)", (folder / "README.md").read_text("utf-8"), re.MULTILINE
        )

    pages = {path.name for path in GUIDE.glob("*.md")}
    assert {path.name for path in CHINESE.glob("*.md")} == pages
    assert listed(CHINESE) == listed(GUIDE)
    assert {*listed(GUIDE), "README.md", "errors.md"} == pages


def test_a_chinese_chapter_leads_to_chinese_ones() -> None:
    """Only the contents lead to the other language; what is not in the guide is there in English alone."""
    for path in CHINESE.glob("*.md"):
        others = re.findall(r"\]\(\.\./(?!\.\./)([^)]+)\)", path.read_text("utf-8"))
        assert others == (["README.md"] if path.name == "README.md" else []), path.name


def test_a_command_that_does_not_exist_is_found() -> None:
    """The guard guards."""
    assert strangers("sudo -u x tapeline sets nonsense | head") == [
        "tapeline sets: there is no command nonsense"
    ]
    assert strangers("A=1 tapeline sets list --nonsense") == [
        "tapeline sets list: there is no option --nonsense"
    ]
    assert strangers("/opt/bin/tapeline runs retry RUN --why 'it -x'") == []
    assert strangers("tapeline runs --state FAILED && tapeline nonsense")


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(DOCS.parent)))
def test_links_lead_somewhere(path: Path) -> None:
    """To a file that is there and, within the docs, to a heading of it."""
    for link in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if link.startswith(("http:", "https:")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name) if name else path
        assert target.exists(), f"{path.name}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
            assert anchor in slugs, f"{path.name}: {link}"
