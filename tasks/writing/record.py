"""The contents of a run's execution record, before it exists and after."""

from __future__ import annotations

from typing import Any

from db.models import ChainRun
from db.states import BackupType

_COPIED = (
    "name",
    "type",
    "sources",
    "compression",
    "compression_level",
    "archive_bytes",
    "retention_days",
    "keep_sets",
    "exclude_caches",
    "one_file_system",
    "max_file_bytes",
    "max_file_age_days",
    "verify_percent",
    "encrypt_to",
)


def asked_for(run: ChainRun) -> dict[str, Any]:
    """The contents of a run's record, by column: the template's, except for parameters given by hand."""
    assert run.schedule is not None
    template = run.schedule.template
    values: dict[str, Any] = {name: getattr(template, name) for name in _COPIED}
    values |= {name: value for name, value in run.options.items() if name in _COPIED}
    values["type"] = BackupType(values["type"])
    # Patterns by hand come after those of the template, so that "!" can take one back.
    values["excludes"] = [*template.excludes, *run.options.get("excludes", [])]
    return values
