"""The stage of a library, for each process that runs its histories."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.histories.conftest import MEMORY
from tests.histories.library.stage import Place, library_stage
from tests.histories.world import Parts


@pytest.fixture
def staged(database_url: str) -> Iterator[tuple[Parts, Place]]:
    """What histories with a library are made of."""
    folder = Path(tempfile.mkdtemp(prefix="tl-", dir=MEMORY if MEMORY.is_dir() else None))
    with library_stage(folder, database_url) as made:
        yield made
    shutil.rmtree(folder)
