"""Commands that are imported when they are asked for: ``--help`` needs their names and short helps only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True)
class Command:
    """A command or a group, and where it is."""

    place: str
    """``module:name`` of the command's function, or of the group's ``typer.Typer``."""
    help: str
    """The line in the list of commands; of a group also the text above its own list."""
    examples: tuple[str, ...] = ()
    more: Mapping[str, Command] = field(default_factory=dict)
    """The commands of a group that are in other modules than the group."""


class LazyCommands(MutableMapping[str, Any]):
    """Typer's commands by name; each is made the first time that it is asked for."""

    def __init__(self, made: Mapping[str, Any], lazy: Mapping[str, Command]) -> None:
        self._made = dict(made)
        self.lazy = lazy

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _made(name, self.lazy[name])
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"command {name} cannot be removed")

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys([*(each for each in self._made if each not in self.lazy), *self.lazy])

    def __len__(self) -> int:
        return len({*self._made, *self.lazy})

    def __contains__(self, name: object) -> bool:
        return name in self._made or name in self.lazy


class LazyGroup(TyperGroup):
    """A group that lists its commands without importing them."""

    commands: LazyCommands
    sections: Mapping[str, Sequence[str]] = {}
    """The names of the commands by the heading that they are listed under; empty: one list."""
    _offers_names = False

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - Typer's signature
        """The names of the commands, in the order in which they are listed."""
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of commands below the help, as Typer writes it."""
        names = self.list_commands(ctx)
        wide = max(map(len, names))
        limit = formatter.width - 6 - wide
        for heading, listed in (self.sections or {"Commands": names}).items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(wide), self._short_help(name, limit)) for name in listed])

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command; for a list of names one with nothing but its help."""
        lazy = self.commands.lazy.get(cmd_name)
        if self._offers_names and lazy is not None:
            return TyperCommand(cmd_name, short_help=lazy.help)
        return super().get_command(ctx, cmd_name)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """What the tab key offers, without importing a command for it."""
        self._offers_names = True
        try:
            return list(super().shell_complete(ctx, incomplete))
        finally:
            self._offers_names = False

    def _short_help(self, name: str, limit: int) -> str:
        lazy = self.commands.lazy.get(name)
        return lazy.help if lazy else str(self.commands[name].get_short_help_str(limit))


def group_of(
    lazy: Mapping[str, Command], sections: Mapping[str, Sequence[str]] | None = None
) -> type[LazyGroup]:
    """The class of a group with these commands behind its own, listed in sections if there are any."""

    class Group(LazyGroup):
        def __init__(self, *, commands: Any = None, **given: Any) -> None:
            super().__init__(commands={}, **given)
            self.commands = LazyCommands(commands or {}, lazy)
            self.sections = sections or {}

    return Group


def _made(name: str, wanted: Command) -> Any:
    """The command itself: from here on its module is loaded."""
    from cli.render.output import examples  # noqa: PLC0415 - a list of commands does without it

    module, _, attribute = wanted.place.partition(":")
    command = getattr(import_module(module), attribute)
    shell = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    shell.callback()(lambda: None)
    epilog = examples(*wanted.examples) if wanted.examples else None
    if isinstance(command, typer.Typer):
        shell.add_typer(command, name=name, help=wanted.help, cls=group_of(wanted.more))
    else:
        shell.command(name, short_help=wanted.help, epilog=epilog)(command)
    group: Any = typer.main.get_command(shell)
    return group.commands[name]
