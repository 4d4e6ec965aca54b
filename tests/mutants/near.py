"""Which rules are mutated, and which tests near them have to notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """Files whose mutants the same tests have to kill; each group remembers its results by itself."""

    name: str
    files: tuple[str, ...]
    """Patterns of paths; the most dangerous come first."""
    tests: tuple[str, ...]

    @property
    def packages(self) -> list[str]:
        return sorted({pattern.partition("/")[0] for pattern in self.files})


GROUPS = (
    Group(
        "rules",
        ("policy/*.py", "policy/*/*.py", "tape/judge.py"),
        ("tests/unit/policy", "tests/unit/tape/test_judge.py", "tests/unit/tape/test_judge_outcomes.py"),
    ),
    Group(
        "rows",
        (
            "db/tapes/permits.py",
            "db/runs/transitions.py",
            "db/runs/starting.py",
            "db/runs/admission.py",
            "db/runs/steps.py",
            "db/tapes/cartridges.py",
            "tasks/periodic/recover.py",
            "tasks/drive/tape_rules.py",
            "db/runs/lookup.py",
            "db/runs/precedence.py",
            "db/runs/retrying.py",
            "db/runs/windows.py",
            "db/runs/followers.py",
            "db/doubts.py",
            "db/freezes.py",
        ),
        (
            "tests/integration/db/runs",
            "tests/integration/db/tapes",
            "tests/integration/db/sets",
            "tests/integration/db/schedules",
            "tests/integration/db/test_alerts.py",
            "tests/integration/db/test_alerts_of_schedules.py",
            "tests/integration/db/test_freezes.py",
            "tests/integration/db/test_leaps.py",
            "tests/integration/db/test_rows_of_doubts.py",
            "tests/integration/db/test_views.py",
            "tests/integration/tasks",
        ),
    ),
)
