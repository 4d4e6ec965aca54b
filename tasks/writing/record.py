"""The contents of a run's execution record, before it exists and after."""

from __future__ import annotations

from typing import Any

from db.models import ChainRun

_COPIED = (
    "name",
    "compression",
    "compression_level",
    "archive_bytes",
    "retention_days",
    "keep_sets",
    "exclude_caches",
    "one_file_system",
    "max_file_bytes",
    "max_file_age_days",
    "checks",
    "before",
    "after",
    "verify_percent",
    "encrypt_to",
    "detect",
)


def asked_for(run: ChainRun) -> dict[str, Any]:
    """The contents of a run's record, by column: the template's, except for parameters given by hand."""
    assert run.schedule is not None
    template = run.schedule.template
    values: dict[str, Any] = {name: getattr(template, name) for name in _COPIED}
    values["type"] = run.options.type or template.type
    values["sources"] = list(run.options.sources or template.sources)
    # Other sources by hand replace all of the template's, its dumps too; those that are among them keep
    # their options.
    values["source_options"] = {
        path: options for path, options in template.source_options.items() if path in values["sources"]
    }
    values["dumps"] = [] if run.options.sources else list(template.dumps)
    # Patterns by hand come after those of the template, so that "!" can take one back.
    values["excludes"] = [*template.excludes, *run.options.excludes]
    return values
