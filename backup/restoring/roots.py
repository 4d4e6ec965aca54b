"""The folders of this host that restores may write to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from policy.errors import TapelineError
from policy.message import M


class NotAllowedHere(TapelineError):
    """This host allows no restore into the folder."""


def allowed(target: Path, roots: Sequence[Path], *, always: bool = False) -> Path:
    """The folder to restore into, without links, so that none leads out of what this host allows.

    ``always``: it must be in one of ``roots`` even if there are none. Raises NotAllowedHere.
    """
    if not roots and not always:
        return target
    real = Path(os.path.realpath(target))
    if not any(real.is_relative_to(os.path.realpath(root)) for root in roots):
        raise NotAllowedHere(
            M("{target} is in no folder that this host allows restores into.", target=str(target)),
            M(
                "Choose one of: {roots}; or add it to restore_roots in the settings of the drive's host.",
                roots=", ".join(map(str, roots)) or "-",
            ),
        )
    return real
