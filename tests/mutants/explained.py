"""Survivors that somebody has read: mutants that change nothing, or nothing that a test could see."""

from __future__ import annotations

import tomllib
from pathlib import Path

FILE = Path(__file__).with_name("explained.toml")


def explained() -> dict[tuple[str, str], str]:
    """Why a mutant survives, by its function and its change; a number would move with each edit."""
    with FILE.open("rb") as file:
        entries = tomllib.load(file).get("mutant", [])
    return {(entry["where"], entry["change"].strip()): entry["why"] for entry in entries}


def change(diff: str) -> str:
    """The lines of a diff that were taken out and put in, without their indentation."""
    lines = [line for line in diff.splitlines() if line[:1] in {"-", "+"} and line[:3] not in {"---", "+++"}]
    return "\n".join(f"{line[0]} {line[1:].strip()}" for line in lines)
