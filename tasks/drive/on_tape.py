"""Whether the tape in the drive still has the sets that the catalogue expects on it."""

from __future__ import annotations

from collections.abc import Iterable

from backup.format import manifest
from policy.message import M
from tape.drive import Volume
from tasks.work import Work, WrongTape


def see_that_it_has(work: Work, volume: Volume, sets: Iterable[str]) -> None:
    """An erased or exchanged tape is not damaged. Raises WrongTape, TapeReadError."""
    present = {each.set_id for each in manifest.sets_on(volume)}
    for set_id in sets:
        if set_id not in present:
            raise WrongTape(
                M(
                    "The tape in the drive, {label}, does not have set {set}: it is another tape of that"
                    " label, or was formatted elsewhere.",
                    label=volume.medium.label or "-",
                    set=set_id,
                ),
                M(
                    "Put in the tape that has the set, then: tapeline runs retry {run}. If this is the one"
                    " that had it, have the catalogue learn what is on it now: tapeline tape import",
                    run=work.held.run_id,
                ),
            )
