"""By which fields of their status the files of a walk are compared (``policy.detection``), and where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from backup.entry import shown
from backup.source import inodes
from backup.source.dirlist import Status
from backup.source.scan import FoundPath
from policy.detection import SHARED, ComparedFields, Followed, OfPaths, compared


class Detection:
    """Chooses the rule of each file by its source and its file system, and notes where each rule begins."""

    def __init__(
        self,
        detect: str,
        followed: Iterable[Mapping[str, str]] = (),
        *,
        of_sources: Mapping[bytes, str] = {},
    ) -> None:
        """``detect``: one of ``policy.detection.CHOICES``. ``followed``: of each set that this one follows
        its ``rules``. ``of_sources``: by real path, the choice of sources that have one of their own."""
        inodes.look_anew()
        self._detect = detect
        self._own = OfPaths(of_sources) if of_sources else None
        self._followed = Followed(followed)
        self._of: dict[tuple[int, str], ComparedFields] = {}
        self._noted: OfPaths[ComparedFields] = OfPaths({})
        self.rules: dict[str, str] = {}
        """The rules of the walk, each by the paths at which it begins; it counts below them."""

    def noted(self, walk: Iterable[FoundPath], roots: Iterable[bytes] = ()) -> Iterator[FoundPath]:
        """The same walk. ``roots``: where it begins anew."""
        starts, device = frozenset(roots), None
        for found in walk:
            path, status = found
            if status is not None and (status.device != device or self._own or path in starts):
                device = status.device
                rule = self.today(path, device)
                if self._noted.at(path) != rule:
                    self._noted.put(path, rule)
                    self.rules[shown(path)] = str(rule)
            yield found

    def today(self, path: bytes, device: int) -> ComparedFields:
        """What counts for a file by the rule of now."""
        choice = (self._own.at(path) if self._own else None) or self._detect
        rule = self._of.get((device, choice))
        if rule is None:
            rule = self._of[device, choice] = compared(choice, inodes.kind_at(path, device))
        return rule

    def of(self, path: bytes, status: Status) -> ComparedFields:
        """What counts for a file of the walk, by the rule of now and by those of the sets before."""
        rule = self.today(path, status.device)
        return rule if rule == SHARED else rule.both(self._followed.at(path))
