"""Which paths of a set are wanted."""

from __future__ import annotations

from collections.abc import Iterable


class Selection:
    """Exact paths, and folders with everything in them; none named means everything."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._wanted = {"/" + path.strip("/") if path.strip("/") else "/" for path in paths}
        self._unmet = set(self._wanted)

    def wants(self, path: str) -> bool:
        """Whether a path is one of these, or is inside one of them."""
        if not self._wanted:
            return True
        return any(self._is_wanted(start) for start in _starts(path))

    def _is_wanted(self, path: str) -> bool:
        if path not in self._wanted:
            return False
        self._unmet.discard(path)
        return True

    @property
    def unmet(self) -> list[str]:
        """The named paths without a match so far, sorted."""
        return sorted(self._unmet)


def _starts(path: str) -> Iterable[str]:
    """The root, each folder above a path, and the path itself."""
    yield "/"
    at = path.find("/", 1)
    while at > 0:
        yield path[:at]
        at = path.find("/", at + 1)
    if path != "/":
        yield path
