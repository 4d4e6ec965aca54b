"""What our dashboard changes in Flower's own templates is still where it was."""

from __future__ import annotations

import shutil
from configparser import ConfigParser
from pathlib import Path

import pytest

from dashboard import templating
from dashboard.templating import FLOWERS, OURS, PATCHES, Loader, Patch

SETUP = Path(__file__).parents[3] / "setup.cfg"


def test_the_installed_flower_has_every_text_that_is_patched() -> None:
    """A newer Flower that moves one fails here: adapt the patch, then raise NEWEST and setup.cfg."""
    assert templating.misplaced() == []


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: f"{patch.template}: {patch.text}")
@pytest.mark.parametrize("change", ["gone", "twice", "no file"])
def test_a_flower_that_moves_a_text_is_noticed(tmp_path: Path, patch: Patch, change: str) -> None:
    """A text that is gone, one that is there twice, and a template that has another name."""
    shutil.copytree(FLOWERS, tmp_path, dirs_exist_ok=True)
    template = tmp_path / patch.template
    if change == "no file":
        template.rename(tmp_path / "moved.html")
        assert patch in templating.misplaced(tmp_path)
        return
    other = {"gone": "<b></b>", "twice": patch.text * 2}[change]
    template.write_text(template.read_text("utf-8").replace(patch.text, other), "utf-8")
    assert templating.misplaced(tmp_path) == [patch]


def test_what_is_patched_in_is_loaded_with_the_page() -> None:
    """Each include has its template, and each patched page compiles."""
    loader = Loader()
    for patch in PATCHES:
        assert not (OURS / patch.template).exists(), "ours hides Flower's, so the patch has no effect"
        assert loader.load(patch.template).code


def test_the_flower_that_setup_asks_for_is_the_one_that_was_tried() -> None:
    """``doctor`` names this version to whoever has a Flower that does not fit."""
    setup = ConfigParser()
    setup.read(SETUP, "utf-8")
    assert f"flower>={templating.NEWEST}" in setup["options"]["install_requires"].split()
