"""The programs that Tapeline is compared with: each program's own way to do the same, to the same disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import command, empty

BORG_ENV = {"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes", "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}
RESTIC_ENV = {"RESTIC_PASSWORD": "benchmark"}


@dataclass(frozen=True, slots=True)
class Rival:
    """A program, in a folder of its own below ``work``."""

    name: str
    work: Path

    def full(self, source: Path) -> float:
        """A full backup into an empty place; its seconds."""
        place = empty(self.work / "rival")
        match self.name:
            case "tar":
                archive = place / "full.tar"
                return command(["tar", "-C", source, "-cf", archive, "."], written=archive)
            case "tar | zstd -1":
                archive = place / "full.tar.zst"
                line = 'set -o pipefail; tar -C "$1" -c . | zstd -q -1 -o "$2"'
                return command(["bash", "-c", line, "bash", source, archive], written=archive)
            case "borg":
                command(["borg", "init", "-e", "none", place / "repo"], env=self._env(BORG_ENV))
                return self._borg(source, "full")
            case "restic":
                command(["restic", "-q", "init", "-r", place / "repo"], env=self._env(RESTIC_ENV))
                return self._restic(source)
        raise ValueError(self.name)

    def changes(self, source: Path) -> float:
        """The changes since the full backup."""
        match self.name:
            case "borg":
                return self._borg(source, "changes")
            case "restic":
                return self._restic(source)
        raise ValueError(self.name)

    def restore(self, target: Path) -> float:
        """All of the full backup, into an empty folder."""
        place = self.work / "rival"
        match self.name:
            case "tar":
                return command(["tar", "-C", target, "-xf", place / "full.tar"], written=target)
            case "tar | zstd -1":
                return command(["tar", "-C", target, "--zstd", "-xf", place / "full.tar.zst"], written=target)
        raise ValueError(self.name)

    def _borg(self, source: Path, name: str) -> float:
        place = self.work / "rival"
        argv: list[str | Path] = ["borg", "create", "-C", "zstd,1", f"{place / 'repo'}::{name}", source]
        return command(argv, written=place / "repo", env=self._env(BORG_ENV))

    def _restic(self, source: Path) -> float:
        place = self.work / "rival"
        argv: list[str | Path] = ["restic", "-q", "backup", "-r", place / "repo", source]
        return command(argv, written=place / "repo", env=self._env(RESTIC_ENV))

    def _env(self, env: dict[str, str]) -> dict[str, str]:
        cache = self.work / "rival" / "cache"
        return {**env, "BORG_BASE_DIR": str(cache), "RESTIC_CACHE_DIR": str(cache)}


def installed(work: Path, names: tuple[str, ...]) -> list[Rival]:
    """Those of the names whose programs are installed."""
    return [Rival(name, work) for name in names if all(shutil.which(program) for program in _programs(name))]


def _programs(name: str) -> list[str]:
    return [part.split()[0] for part in name.split(" | ")]
