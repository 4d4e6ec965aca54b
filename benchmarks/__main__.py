"""Measure Tapeline beside tar, borg and restic, and print tables: ``make bench``, or one part of it: ``python
-m benchmarks PART``. ``--small`` measures a tenth of everything, to check that it works. The part ``fleet``
has options of its own: ``python -m benchmarks fleet --drives 10 --hosts 2 --days 30``."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks import parts
from benchmarks.fleet.size import FleetSize
from benchmarks.measure import say


def main() -> None:
    """Run the requested parts, in a folder that is removed afterwards."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "part", nargs="*", help=f"one of: {', '.join(parts.PARTS)}; all but fleet if none is named"
    )
    parser.add_argument("--small", action="store_true", help="a tenth of everything")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: 3)")
    parser.add_argument("--folder", type=Path, help="where to work, on the disk that is to be measured")
    for name, default in asdict(FleetSize()).items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"of the fleet (default: {default})")
    asked = parser.parse_args()
    unknown = set(asked.part) - parts.PARTS.keys()
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; choose from {', '.join(parts.PARTS)}")
    folder = Path(tempfile.mkdtemp(prefix="tapeline-bench-", dir=asked.folder))
    folder.chmod(0o755)
    try:
        print(
            f"{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}; ", end=""
        )
        print(f"medians of {asked.rounds}" + ("; --small" if asked.small else ""))
        scale = 10 if asked.small else 1
        fleet = FleetSize(
            max(asked.drives // scale, 1), max(asked.hosts // scale, 1), asked.days, seed=asked.seed
        )
        with parts.Stage(folder, rounds=asked.rounds, scale=scale, fleet=fleet) as stage:
            for name in asked.part or [each for each in parts.PARTS if each != "fleet"]:
                say(f"{name} ...")
                print(flush=True)
                parts.PARTS[name](stage)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
