"""The reference pages of docs/, made from the code: ``make reference``."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from pathlib import Path
from textwrap import fill
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from celery_app.drive_settings import (
    AnyChangerSettings,
    AnyDriveSettings,
    ChangerSettings,
    DriveSettings,
    HealthWarnings,
    WindowsCommands,
)
from celery_app.host.sections import CommandSettings
from celery_app.sections import ChannelSettings, FlowerSettings
from celery_app.settings import PREFIX, Settings
from celery_app.settings_file import FIXED
from policy.schedule.file import json_schema
from tools import errors_page

ROOT = Path(__file__).resolve().parent.parent
MADE = "<!-- Made by `make reference` from the code: changes here are lost. -->\n"

_WORDS = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "text, secret",
}
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}

_HELD = ", ".join(f"`{name}`" for name in Settings.model_fields if name in FIXED)

_READ_AGAIN = fill(
    "Channels, templates, language and limits are read again when the file changes, without a new start. "
    f"{_HELD} hold until a process is started anew; `tapeline doctor` names one that works with older "
    "settings than its file has. A file that cannot be read while a process runs changes nothing, and is "
    "named there too.",
    110,
    break_on_hyphens=False,
)

_SETTINGS_HEAD = f"""\
# Settings

{MADE}
From the environment (`{PREFIX}` and the name in capitals, `__` between levels: `{PREFIX}FLOWER__PORT`),
then from the file that `{PREFIX}CONFIG` names, else `tapeline.toml` in the working folder, else
`/etc/tapeline/tapeline.toml`. An unknown name, a wrong value and a broken file are one line that names the
field, and exit code 2. `tapeline settings` prints what holds on this host; what is secret stays hidden.

{_READ_AGAIN}

```toml
language = "zh_CN"
time_zone = "Asia/Shanghai"

[drives.tape0]
driver = "virtual"
path = "/srv/virtual-tape"

[channels.ops]
type = "dingtalk"
token = "..."
secret = "SEC..."
events = {{ ready = true, skipped = false }}

[channels.boss]
type = "apprise"
url = "mailtos://user:password@example.com"
events = {{ success = false, warnings = false, skipped = false, reminder = false }}
```
"""

_COMMANDS_HEAD = f"""\
# Commands

{MADE}
Exit codes: 0 done, 1 failed, 2 usage, 3 skipped, 4 waiting for an operator. `--help` after a command
says the same. Times are on the clock of the setting `time_zone`; with `--json` they are UTC.
"""


def settings_page() -> str:
    """Every setting with its type, default and meaning, as Markdown."""
    sections = [
        _table("Everywhere", Settings),
        _table("`[flower]`", FlowerSettings),
        *(_table(_title("channels", "type", each), each) for each in _members(ChannelSettings)),
        _table("`[commands.<name>]`", CommandSettings),
        _table("`[drives.<name>]` of every driver", DriveSettings),
        _table("`[drives.<name>.warn]`", HealthWarnings),
        *(
            _table(_title("drives", "driver", each), each, DriveSettings)
            for each in _members(AnyDriveSettings)
        ),
        _table("`[drives.<name>.commands]` of Windows", WindowsCommands),
        _table("`[changers.<name>]` of every driver", ChangerSettings),
        *(
            _table(_title("changers", "driver", each), each, ChangerSettings)
            for each in _members(AnyChangerSettings)
        ),
    ]
    return _SETTINGS_HEAD + "".join(sections)


def _title(section: str, name: str, model: type[BaseModel]) -> str:
    """The field that chooses this model among others is in the title, not among its fields."""
    [choice] = get_args(model.model_fields[name].annotation)
    return f'`[{section}.<name>]` with `{name} = "{choice}"`'


def _table(title: str, model: type[BaseModel], passed: type[BaseModel] | None = None) -> str:
    """The fields of a model, but for those of ``passed`` and for what the title has."""
    known = set(passed.model_fields) if passed else set()
    fields = (
        (name, each) for name, each in model.model_fields.items() if name not in known | {"type", "driver"}
    )
    rows = "".join(_row(name, field) for name, field in fields)
    # A section's docstring explains its purpose; that of the whole is the page's head.
    meaning = "" if model is Settings else f"{_marked(inspect.getdoc(model) or '')}\n\n"
    return f"\n## {title}\n\n{meaning}| name | type | default | meaning |\n| --- | --- | --- | --- |\n{rows}"


def _row(name: str, field: FieldInfo) -> str:
    kind = _kind(field.annotation, field.metadata)
    meaning = _marked(" ".join((field.description or "").split()))
    cells = (f"`{name}`", kind, _default(field), meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _marked(text: str) -> str:
    """A docstring's double back-ticks as Markdown's."""
    return text.replace("``", "`")


def _kind(annotation: Any, metadata: Any = ()) -> str:
    """A type in words, with its bounds."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0], arguments[1:])
    if origin in (Union, UnionType):
        return _kind(next(each for each in arguments if each is not NoneType), metadata)
    is_enum = inspect.isclass(annotation) and issubclass(annotation, Enum)
    if origin is Literal or is_enum:
        return " or ".join(f"`{getattr(each, 'value', each)}`" for each in arguments or annotation)
    if origin is list:
        return f"list of {_kind(arguments[0])}"
    if origin is dict or (inspect.isclass(annotation) and issubclass(annotation, BaseModel)):
        return "table"
    return ", ".join([_WORDS[annotation], *_bounds(metadata)])


def _bounds(metadata: Any) -> Iterator[str]:
    for each in metadata:
        for bound in getattr(each, "metadata", [each]):
            for name, words in _BOUNDS.items():
                limit = getattr(bound, name, None)
                if limit is not None:
                    yield f"{words} {limit}"


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required" if field.default_factory is None else "–"
    value = field.default
    if value is None or value in ([], {}) or isinstance(value, BaseModel):
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return "`" + " ".join(map(_portable, value)) + "`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{getattr(value, 'value', value)}`"


def _portable(word: str) -> str:
    """A word of a command line as it is on every host."""
    if word == sys.executable:
        return "python"
    return Path(word).relative_to(ROOT).as_posix() if Path(word).is_relative_to(ROOT) else word


def _members(union: Any) -> list[type[BaseModel]]:
    return list(get_args(get_args(union)[0]))


def commands_page() -> str:
    """Every command with its arguments and options, as Markdown."""
    from cli.main import app  # noqa: PLC0415 - the command line itself uses this room

    parts = (_command(path, command) for path, command in commands(typer.main.get_command(app)))
    return _COMMANDS_HEAD + "".join(parts)


def commands(command: Any, path: str = "tapeline") -> Iterator[tuple[str, Any]]:
    """Every command below one, with its whole name; groups that do nothing by themselves are passed over."""
    below: Mapping[str, Any] = getattr(command, "commands", {})
    if not below or (command.invoke_without_command and path != "tapeline"):
        yield path, command
    for name, each in below.items():
        yield from commands(each, f"{path} {name}")


def _command(path: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    usage = " ".join([path, *(["[OPTIONS]"] if options else []), *map(_usage, arguments)])
    rows = "".join(_parameter(each) for each in [*arguments, *options])
    table = f"\n| | |\n| --- | --- |\n{rows}" if rows else ""
    return f"\n## {path}\n\n{_paragraphs(command.help)}\n\n```\n{usage}\n```\n{table}{_examples(command)}"


def _usage(argument: Any) -> str:
    name = _placeholder(argument) + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _placeholder(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper()).strip("[]{}")


def _parameter(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = f"`{_placeholder(parameter)}`"
        if choices := _choices(parameter):
            name += ": " + ", ".join(f"`{each}`" for each in choices)
    else:
        value = "" if parameter.is_flag else f" {_value(parameter)}"
        name = ", ".join(f"`{each}{value}`" for each in [*parameter.opts, *parameter.secondary_opts])
    return f"| {name} | {_cell(parameter.help or '')}{_given(parameter)} |\n"


def _value(option: Any) -> str:
    if option.metavar:
        return _placeholder(option)
    return "\\|".join(_choices(option)) or str(option.name.upper())


def _choices(option: Any) -> list[str]:
    """What may be given: Typer's own parser knows the type, click's the choices."""
    annotation = getattr(getattr(option, "type_descriptor", None), "annotation", None)
    if inspect.isclass(annotation) and issubclass(annotation, Enum):
        return [str(each.value) for each in annotation]
    return [str(each) for each in getattr(getattr(option, "type", None), "choices", ())]


def _given(parameter: Any) -> str:
    value = parameter.default
    if parameter.required or value is None or value in (False, (), []) or callable(value):
        return ""
    return " (the default)" if value is True else f" Default: `{getattr(value, 'value', value)}`."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(_marked(" ".join(part.split())) for part in (text or "").split("\n\n")).strip()


def _examples(command: Any) -> str:
    lines = re.findall(r"^  (tapeline .*)$", command.epilog or "", re.MULTILINE)
    return "\n" + "".join(f"    {line}\n" for line in lines) if lines else ""


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "guide/errors.md": partial(errors_page.page, "en", MADE),
    "guide/zh_CN/errors.md": partial(errors_page.page, "zh_CN", MADE),
    "schedules.schema.json": lambda: json.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n",
}


def main(folder: Path) -> None:
    """Write the pages into a folder."""
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
